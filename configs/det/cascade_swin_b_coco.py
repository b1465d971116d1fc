"""Cascade Mask R-CNN, Swin-B, COCO, 3x: 51.9 box AP, 45.0 mask AP (published).

Comparison row of arXiv 2201.03545. 8 GPUs x 2 images, AMP.
Backbone from swin_base_patch4_window7_224.pth.
Train: convnext-backbone train det/cascade_swin_b_coco
"""

_base_ = 'cascade_swin_t_coco.py'

model = dict(
    backbone=dict(
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint=_base_.swin_url.format('base', '224')),
    ),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
