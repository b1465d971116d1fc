"""Mask R-CNN, ResNet-50, COCO, 3x: no published result.

A baseline under the schedule of ConvNeXt's.
8 GPUs x 2 images, AMP, backbone from torchvision.
Train: convnext-backbone train det/mask_r50_coco
"""

_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/resnet50.py',
    '_base_/coco.py',
    '_base_/schedule_3x_plain.py',
    '_base_/runtime.py',
]

model = dict(
    backbone=dict(_base_.backbone, _delete_=True),
    neck=dict(in_channels=[256, 512, 1024, 2048]),
)
