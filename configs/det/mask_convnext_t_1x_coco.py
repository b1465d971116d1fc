"""Mask R-CNN, ConvNeXt-T, COCO, 1x: no published result.

The 3x recipe in 12 epochs, flips at one scale.
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train det/mask_convnext_t_1x_coco
"""

_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/coco_flip.py',
    '_base_/schedule_1x.py',
    '_base_/runtime.py',
]
