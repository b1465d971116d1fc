"""Cascade Mask R-CNN, ConvNeXt-T, COCO, 3x: 50.4 box AP, 43.7 mask AP (published).

Source: arXiv 2201.03545 table 3; facebookresearch/ConvNeXt object_detection.
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train det/cascade_convnext_t_coco
"""

_base_ = [
    '_base_/cascade_mask_rcnn.py',
    '_base_/coco.py',
    '_base_/schedule_3x.py',
    '_base_/runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(decay_rate=0.7))
