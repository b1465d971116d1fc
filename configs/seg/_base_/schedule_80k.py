"""80k iterations, otherwise as the 160k schedule."""

_base_ = 'schedule_160k.py'

train_cfg = dict(max_iters=80000)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=80000),
]
