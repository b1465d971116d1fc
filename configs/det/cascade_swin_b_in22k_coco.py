"""Cascade Mask R-CNN, Swin-B, COCO, 3x: 53.0 box AP, 45.8 mask AP (published).

Comparison row of arXiv 2201.03545. 8 GPUs x 2 images, AMP.
Backbone from swin_base_patch4_window7_224_22k.pth.
Train: convnext-backbone train det/cascade_swin_b_in22k_coco
"""

_base_ = 'cascade_swin_b_coco.py'

model = dict(
    backbone=dict(init_cfg=dict(checkpoint=_base_.swin_url.format('base', '224_22k')))
)
