"""UperNet on ConvNeXt V2-T, from weights that were fine-tuned on ImageNet-1K."""

_base_ = 'upernet.py'

model = dict(
    backbone=dict(
        use_grn=True,
        layer_scale_init_value=0.0,
        init_cfg=dict(source='meta://convnextv2_tiny_1k_224_ema'),
    )
)
