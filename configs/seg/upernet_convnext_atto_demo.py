"""UperNet, ConvNeXt-atto, the embedded demo scenes, from scratch."""

_base_ = [
    '_base_/upernet_small.py',
    '_base_/demo.py',
    '_base_/runtime.py',
    '_base_/schedule_small.py',
]

model = dict(
    data_preprocessor=dict(size=(192, 192)),
    decode_head=dict(num_classes=7),
    auxiliary_head=dict(num_classes=7),
)
default_hooks = dict(checkpoint=dict(interval=1050))
