"""UperNet, ConvNeXt-T, ADE20K, 512, 160k: 46.0 mIoU, 46.7 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_t_ade20k
"""

_base_ = [
    '_base_/upernet.py',
    '_base_/ade20k.py',
    '_base_/schedule_160k.py',
    '_base_/runtime.py',
]
