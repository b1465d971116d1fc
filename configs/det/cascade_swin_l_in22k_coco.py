"""Cascade Mask R-CNN, Swin-L, COCO, 3x: 53.9 box AP, 46.7 mask AP (published).

Comparison row of arXiv 2201.03545. 8 GPUs x 2 images, AMP.
Backbone from swin_large_patch4_window7_224_22k.pth.
Train: convnext-backbone train det/cascade_swin_l_in22k_coco
"""

_base_ = 'cascade_swin_t_coco.py'

model = dict(
    backbone=dict(
        embed_dims=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint=_base_.swin_url.format('large', '224_22k')),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
