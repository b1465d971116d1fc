"""UperNet, ConvNeXt V2-B, ADE20K, 512, 160k: 52.1 mIoU (published).

Source: arXiv 2301.00808. Its decay and drop path were never released: V1's here.
8 GPUs x 2 images, AMP, backbone from convnextv2_base_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/upernet_convnextv2_b_ade20k
"""

_base_ = 'upernet_convnextv2_t_ade20k.py'

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(source='meta://convnextv2_base_1k_224_ema'),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
