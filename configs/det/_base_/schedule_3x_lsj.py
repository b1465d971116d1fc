"""The 3x schedule for large-scale jitter: total batch 32 (8 GPUs x 4)."""

_base_ = 'schedule_3x.py'

auto_scale_lr = dict(base_batch_size=32)
