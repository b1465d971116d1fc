"""Mask R-CNN, ConvNeXt V2-atto, COCO, LSJ, 3x: no published result.

The recipe of V2-B with less drop path, for people with little hardware.
8 GPUs x 4 images of 1024, AMP, soft-NMS. Backbone: convnextv2_atto_1k_224_fcmae.pt.
Train: convnext-backbone train det/mask_convnextv2_atto_coco
"""

_base_ = 'mask_convnextv2_b_coco.py'

model = dict(
    backbone=dict(
        arch='atto',
        drop_path_rate=0.1,
        init_cfg=dict(source='meta://convnextv2_atto_1k_224_fcmae'),
    ),
    neck=dict(in_channels=[40, 80, 160, 320]),
)
