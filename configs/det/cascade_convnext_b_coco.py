"""Cascade Mask R-CNN, ConvNeXt-B, COCO, 3x: 52.7 box AP, 45.6 mask AP (published).

Source: arXiv 2201.03545 table 3; facebookresearch/ConvNeXt object_detection.
8 GPUs x 2 images, AMP, backbone from convnext_base_1k_224.pth.
Train: convnext-backbone train det/cascade_convnext_b_coco
"""

_base_ = 'cascade_convnext_t_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.7,
        init_cfg=dict(source='meta://convnext_base_1k_224'),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.8))
