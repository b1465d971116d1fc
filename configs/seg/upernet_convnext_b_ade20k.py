"""UperNet, ConvNeXt-B, ADE20K, 512, 160k: 49.1 mIoU, 49.9 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, AMP, backbone from convnext_base_1k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_b_ade20k
"""

_base_ = 'upernet_convnext_t_ade20k.py'

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(source='meta://convnext_base_1k_224'),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
