"""12 epochs, otherwise as the 3x schedule."""

_base_ = 'schedule_3x.py'

train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=12, milestones=[8, 11]),
]
