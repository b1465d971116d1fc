"""UperNet on ConvNeXt-atto with 64-channel heads: trains on a CPU in minutes."""

_base_ = 'upernet.py'

model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(arch='atto', drop_path_rate=0.0),
    decode_head=dict(in_channels=[40, 80, 160, 320], channels=64),
    auxiliary_head=dict(in_channels=160, channels=64),
    test_cfg=dict(crop_size=(256, 256), stride=(170, 170)),
)
