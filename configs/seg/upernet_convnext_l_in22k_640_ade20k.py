"""UperNet, ConvNeXt-L, ADE20K, 640, 160k: 53.2 mIoU, 53.7 multi-scale (published).

Source: arXiv 2201.03545 table 4; facebookresearch/ConvNeXt semantic_segmentation.
8 GPUs x 2 images, fp32, backbone from convnext_large_22k_224.pth.
Train: convnext-backbone train seg/upernet_convnext_l_in22k_640_ade20k
"""

_base_ = 'upernet_convnext_b_in22k_640_ade20k.py'

model = dict(
    backbone=dict(arch='large', init_cfg=dict(source='meta://convnext_large_22k_224')),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
optim_wrapper = dict(type='OptimWrapper')  # Meta's; mmseg's port uses AMP
