"""Mask R-CNN on ConvNeXt V2-B with soft-NMS."""

_base_ = 'mask_rcnn.py'

model = dict(
    backbone=dict(
        arch='base',
        use_grn=True,
        init_cfg=dict(source='meta://convnextv2_base_1k_224_fcmae'),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    test_cfg=dict(rcnn=dict(nms=dict(type='soft_nms'))),
)
