"""Cascade Mask R-CNN, ResNet-50, COCO, 3x: 46.3 box AP, 40.1 mask AP (published).

A baseline under the schedule of ConvNeXt's; comparison row of arXiv 2201.03545.
8 GPUs x 2 images, AMP, backbone from torchvision.
Train: convnext-backbone train det/cascade_r50_coco
"""

_base_ = [
    '_base_/cascade_mask_rcnn.py',
    '_base_/resnet50.py',
    '_base_/coco.py',
    '_base_/schedule_3x_plain.py',
    '_base_/runtime.py',
]

model = dict(
    backbone=dict(_base_.backbone, _delete_=True),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
