"""Mask R-CNN, ConvNeXt-atto, nuclei of the 2018 Data Science Bowl, from scratch."""

_base_ = [
    '_base_/mask_rcnn_small.py',
    '_base_/nuclei.py',
    '_base_/schedule_small.py',
    '_base_/runtime.py',
]

model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[4])),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    train_cfg=dict(rcnn=dict(sampler=dict(pos_fraction=0.33))),
)
