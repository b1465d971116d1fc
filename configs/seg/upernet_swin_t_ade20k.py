"""UperNet, Swin-T, ADE20K, 512, 160k: 44.4 mIoU, 45.8 multi-scale (published).

Source: arXiv 2103.14030 for the recipe; mmseg's configs/swin for the result, in fp32.
8 GPUs x 2 images, AMP, backbone from mmseg's swin_tiny_patch4_window7_224.
Train: convnext-backbone train seg/upernet_swin_t_ade20k
"""

_base_ = [
    '_base_/upernet_swin.py',
    '_base_/ade20k.py',
    '_base_/schedule_160k_plain.py',
    '_base_/runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=6e-5, weight_decay=0.01))
