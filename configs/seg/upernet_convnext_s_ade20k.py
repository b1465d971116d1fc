"""UperNet, ConvNeXt-S, ADE20K, 512, 160k: 48.7 mIoU, 49.6 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, AMP, backbone from convnext_small_1k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_s_ade20k
"""

_base_ = 'upernet_convnext_t_ade20k.py'

model = dict(
    backbone=dict(
        arch='small',
        drop_path_rate=0.3,
        init_cfg=dict(source='meta://convnext_small_1k_224'),
    ),
)
