"""Mask R-CNN, ConvNeXt V2-B, COCO, LSJ, 3x: 52.9 box AP, 46.6 mask AP (published).

Source: arXiv 2301.00808; decay and drop path were not released: mmdet's.
8 GPUs x 4 images of 1024, AMP, soft-NMS. Backbone: convnextv2_base_1k_224_fcmae.pt.
Train: convnext-backbone train det/mask_convnextv2_b_coco
"""

_base_ = [
    '_base_/mask_rcnn_v2.py',
    '_base_/coco_lsj.py',
    '_base_/schedule_3x_lsj.py',
    '_base_/runtime.py',
]
