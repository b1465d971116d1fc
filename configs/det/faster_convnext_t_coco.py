"""Faster R-CNN (boxes only), ConvNeXt-T, COCO, 3x: no published result.

The recipe of Mask R-CNN, without masks.
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train det/faster_convnext_t_coco
"""

_base_ = [
    '_base_/faster_rcnn.py',
    '_base_/coco_boxes.py',
    '_base_/schedule_3x.py',
    '_base_/runtime_boxes.py',
]
