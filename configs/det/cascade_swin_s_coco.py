"""Cascade Mask R-CNN, Swin-S, COCO, 3x: 51.9 box AP, 45.0 mask AP (published).

Comparison row of arXiv 2201.03545. 8 GPUs x 2 images, AMP.
Backbone from swin_small_patch4_window7_224.pth.
Train: convnext-backbone train det/cascade_swin_s_coco
"""

_base_ = 'cascade_swin_t_coco.py'

model = dict(
    backbone=dict(
        depths=[2, 2, 18, 2],
        init_cfg=dict(checkpoint=_base_.swin_url.format('small', '224')),
    ),
)
