"""Cascade Mask R-CNN, Swin-T, COCO, 3x: 50.4 box AP, 43.7 mask AP (published).

A baseline under the schedule of ConvNeXt's; comparison row of arXiv 2201.03545.
8 GPUs x 2 images, AMP, backbone from swin_tiny_patch4_window7_224.pth.
Train: convnext-backbone train det/cascade_swin_t_coco
"""

_base_ = [
    '_base_/cascade_mask_rcnn.py',
    '_base_/swin.py',
    '_base_/coco.py',
    '_base_/schedule_3x_plain.py',
    '_base_/runtime.py',
]

model = dict(backbone=dict(_base_.backbone, _delete_=True))
