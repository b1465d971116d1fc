"""UperNet, ConvNeXt-B, ADE20K, 640, 160k: 52.6 mIoU, 53.1 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, AMP, backbone from convnext_base_22k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_b_in22k_640_ade20k
"""

_base_ = [
    '_base_/upernet_640.py',
    '_base_/ade20k_640.py',
    '_base_/schedule_160k.py',
    '_base_/runtime.py',
]

model = dict(
    backbone=dict(arch='base', init_cfg=dict(source='meta://convnext_base_22k_224')),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
