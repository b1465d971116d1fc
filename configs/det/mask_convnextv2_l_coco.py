"""Mask R-CNN, ConvNeXt V2-L, COCO, LSJ, 3x: 54.4 box AP, 47.7 mask AP (published).

Source: arXiv 2301.00808; decay and drop path were not released: mmdet's.
8 GPUs x 4 images of 1024, AMP, soft-NMS. Backbone: convnextv2_large_1k_224_fcmae.pt.
Train: convnext-backbone train det/mask_convnextv2_l_coco
"""

_base_ = 'mask_convnextv2_b_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(source='meta://convnextv2_large_1k_224_fcmae'),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
