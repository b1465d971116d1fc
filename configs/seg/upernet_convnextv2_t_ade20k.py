"""UperNet, ConvNeXt V2-T, ADE20K, 512, 160k: not published.

Source: arXiv 2301.00808. Its decay and drop path were never released: V1's here.
8 GPUs x 2 images, AMP, backbone from convnextv2_tiny_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/upernet_convnextv2_t_ade20k
"""

_base_ = [
    '_base_/upernet_v2.py',
    '_base_/ade20k.py',
    '_base_/schedule_160k.py',
    '_base_/runtime.py',
]
