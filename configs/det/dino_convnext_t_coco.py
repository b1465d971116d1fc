"""DINO (transformer, boxes only), ConvNeXt-T, COCO, 1x: no published result.

On a GPU its deformable attention needs mmcv's compiled ops (make mmcv-ops).
8 GPUs x 2 images, AMP, backbone from convnext_tiny_1k_224.pth.
Train: convnext-backbone train det/dino_convnext_t_coco
"""

_base_ = [
    '_base_/dino.py',
    '_base_/coco_boxes.py',
    '_base_/schedule_1x.py',
    '_base_/runtime_boxes.py',
]

train_dataloader = dict(dataset=dict(filter_cfg=dict(filter_empty_gt=False)))
optim_wrapper = dict(
    optimizer=dict(weight_decay=1e-4),
    paramwise_cfg=dict(decay_rate=0.8),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
