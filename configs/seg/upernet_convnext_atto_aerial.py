"""UperNet, ConvNeXt-atto, five classes of aerial images, from scratch."""

_base_ = [
    '_base_/upernet_small.py',
    '_base_/aerial.py',
    '_base_/runtime.py',
    '_base_/schedule_small.py',
]

# Half of the ground is land; what is rarer and finer counts more.
weights = dict(class_weight=[2.0, 1.0, 2.0, 1.5, 1.0])
model = dict(
    decode_head=dict(num_classes=5, loss_decode=weights),
    auxiliary_head=dict(num_classes=5, loss_decode=weights),
)
default_hooks = dict(checkpoint=dict(interval=1050))
