"""Semantic FPN (arXiv 1901.02446), 150 classes, on ConvNeXt V2-atto, crops of 512."""

_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        arch='atto',
        use_grn=True,
        drop_path_rate=0.1,
        layer_scale_init_value=0.0,
        init_cfg=dict(source='meta://convnextv2_atto_1k_224_ema'),
    ),
    neck=dict(type='FPN', in_channels=[40, 80, 160, 320], out_channels=256, num_outs=4),
    decode_head=dict(
        type='FPNHead',
        in_channels=[256, 256, 256, 256],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
