"""Cascade Mask R-CNN, ConvNeXt-S, COCO, 3x: 51.9 box AP, 45.0 mask AP (published).

Source: arXiv 2201.03545 table 3; facebookresearch/ConvNeXt object_detection.
8 GPUs x 2 images, AMP, backbone from convnext_small_1k_224.pth.
Train: convnext-backbone train det/cascade_convnext_s_coco
"""

_base_ = 'cascade_convnext_t_coco.py'

model = dict(
    backbone=dict(
        arch='small',
        drop_path_rate=0.6,
        init_cfg=dict(source='meta://convnext_small_1k_224'),
    ),
)
