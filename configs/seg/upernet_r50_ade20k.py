"""UperNet, ResNet-50, ADE20K, 512, 160k: not published.

A baseline under ConvNeXt's schedule; with SGD and a v1c stem mmseg has 42.1 mIoU.
8 GPUs x 2 images, AMP, backbone from torchvision (resnet50-0676ba61.pth).
Train: convnext-backbone train seg/upernet_r50_ade20k
"""

_base_ = [
    '_base_/upernet_r50.py',
    '_base_/ade20k.py',
    '_base_/schedule_160k_plain.py',
    '_base_/runtime.py',
]
