"""Mask2Former, ConvNeXt-T, ADE20K, 512, 160k: not published.

Source: mmseg's recipe for Swin and ResNet, with ConvNeXt's drop path and decay.
8 GPUs x 2 images, fp32, backbone from convnext_tiny_1k_224.pth.
A GPU needs mmcv's compiled deformable attention: make mmcv-ops. A CPU does not.
Train: convnext-backbone train seg/mask2former_convnext_t_ade20k
"""

_base_ = [
    '_base_/mask2former.py',
    '_base_/ade20k_mask2former.py',
    '_base_/schedule_mask2former.py',
    '_base_/runtime.py',
]
