"""Semantic FPN, ConvNeXt V2-nano, ADE20K, 512, 80k: not published.

A light head for small machines, with the learning rate and decay of V1's UperNet.
8 GPUs x 2 images, AMP, backbone from convnextv2_nano_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/fpn_convnextv2_nano_ade20k
"""

_base_ = 'fpn_convnextv2_atto_ade20k.py'

model = dict(
    backbone=dict(
        arch='nano', init_cfg=dict(source='meta://convnextv2_nano_1k_224_ema')
    ),
    neck=dict(in_channels=[80, 160, 320, 640]),
)
