"""Cascade R-CNN (boxes only), ConvNeXt-T, COCO, 3x: no published result.

The recipe of Cascade Mask R-CNN, without masks.
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train det/cascade_boxes_convnext_t_coco
"""

_base_ = [
    '_base_/cascade_rcnn.py',
    '_base_/coco_boxes.py',
    '_base_/schedule_3x.py',
    '_base_/runtime_boxes.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(decay_rate=0.7))
