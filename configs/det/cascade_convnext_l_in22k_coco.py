"""Cascade Mask R-CNN, ConvNeXt-L, COCO, 3x: 54.8 box AP, 47.6 mask AP (published).

Source: arXiv 2201.03545 table 3; facebookresearch/ConvNeXt object_detection.
8 GPUs x 2 images, fp32, backbone from convnext_large_22k_224.pth.
Train: convnext-backbone train det/cascade_convnext_l_in22k_coco
"""

_base_ = 'cascade_convnext_t_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.7,
        init_cfg=dict(source='meta://convnext_large_22k_224'),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-4))
