"""Mask R-CNN, ConvNeXt V2-H, COCO, LSJ, 3x: 55.7 box AP, 48.9 mask AP (published).

Source: arXiv 2301.00808; decay and drop path were not released: mmdet's.
8 GPUs x 4 images of 1024, AMP, soft-NMS. Backbone: convnextv2_huge_1k_224_fcmae.pt.
Train: convnext-backbone train det/mask_convnextv2_h_coco
"""

_base_ = 'mask_convnextv2_b_coco.py'

model = dict(
    backbone=dict(
        arch='huge',
        init_cfg=dict(source='meta://convnextv2_huge_1k_224_fcmae'),
    ),
    neck=dict(in_channels=[352, 704, 1408, 2816]),
)
