"""UperNet, ConvNeXt-XL, ADE20K, 640, 160k: 53.6 mIoU, 54.0 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, fp32, backbone from convnext_xlarge_22k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_xl_in22k_640_ade20k
"""

_base_ = 'upernet_convnext_l_in22k_640_ade20k.py'

model = dict(
    backbone=dict(
        arch='xlarge',
        init_cfg=dict(source='meta://convnext_xlarge_22k_224'),
    ),
    decode_head=dict(in_channels=[256, 512, 1024, 2048]),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=8e-5))
