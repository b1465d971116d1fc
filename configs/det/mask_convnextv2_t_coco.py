"""Mask R-CNN, ConvNeXt V2-T, COCO, LSJ, 3x: no published result.

The recipe of V2-B with less drop path, for people with little hardware.
8 GPUs x 4 images of 1024, AMP, soft-NMS. Backbone: convnextv2_tiny_1k_224_fcmae.pt.
Train: convnext-backbone train det/mask_convnextv2_t_coco
"""

_base_ = 'mask_convnextv2_b_coco.py'

model = dict(
    backbone=dict(
        arch='tiny',
        drop_path_rate=0.2,
        init_cfg=dict(source='meta://convnextv2_tiny_1k_224_fcmae'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
