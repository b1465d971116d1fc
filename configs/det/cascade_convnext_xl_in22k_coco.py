"""Cascade Mask R-CNN, ConvNeXt-XL, COCO, 3x: 55.2 box AP, 47.7 mask AP (published).

Source: arXiv 2201.03545 table 3; facebookresearch/ConvNeXt object_detection.
8 GPUs x 2 images, fp32, backbone from convnext_xlarge_22k_224.pth.
Train: convnext-backbone train det/cascade_convnext_xl_in22k_coco
"""

_base_ = 'cascade_convnext_t_coco.py'

model = dict(
    backbone=dict(
        arch='xlarge',
        drop_path_rate=0.8,
        init_cfg=dict(source='meta://convnext_xlarge_22k_224'),
    ),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-4))
