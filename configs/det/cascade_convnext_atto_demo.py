"""Cascade Mask R-CNN, ConvNeXt-atto, the embedded demo scenes, from scratch."""

_base_ = [
    '_base_/cascade_mask_rcnn_small.py',
    '_base_/demo.py',
    '_base_/schedule_small.py',
    '_base_/runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=[
            dict(head, num_classes=6) for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(num_classes=6),
    )
)
train_cfg = dict(max_epochs=3, val_interval=3)
