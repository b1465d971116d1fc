"""What detection runs without masks share: the best checkpoint is by box AP."""

_base_ = 'runtime.py'

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
