"""UperNet, ConvNeXt-atto, five classes of aerial images, from scratch."""

_base_ = [
    '_base_/upernet_small.py',
    '_base_/aerial.py',
    '_base_/runtime.py',
    '_base_/schedule_small.py',
]

model = dict(
    decode_head=dict(num_classes=5),
    auxiliary_head=dict(num_classes=5),
)
default_hooks = dict(checkpoint=dict(interval=650))
