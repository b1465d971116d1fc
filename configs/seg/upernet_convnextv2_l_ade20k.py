"""UperNet, ConvNeXt V2-L, ADE20K, 512, 160k: 53.7 mIoU (published).

Source: arXiv 2301.00808. Its decay and drop path were never released: V1's here.
8 GPUs x 2 images, fp32, backbone from convnextv2_large_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/upernet_convnextv2_l_ade20k
"""

_base_ = 'upernet_convnextv2_t_ade20k.py'

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(source='meta://convnextv2_large_1k_224_ema'),
    ),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
optim_wrapper = dict(type='OptimWrapper')  # as V1's L and XL
