"""UperNet, ConvNeXt V2-H, ADE20K, 512, 160k: 55.0 mIoU (published).

Source: arXiv 2301.00808. Its decay and drop path were never released: V1's here.
8 GPUs x 2 images, fp32, backbone from convnextv2_huge_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/upernet_convnextv2_h_ade20k
"""

_base_ = 'upernet_convnextv2_l_ade20k.py'

model = dict(
    backbone=dict(
        arch='huge',
        init_cfg=dict(source='meta://convnextv2_huge_1k_224_ema'),
    ),
    decode_head=dict(in_channels=[352, 704, 1408, 2816]),
    auxiliary_head=dict(in_channels=1408),
)
