"""Semantic FPN, ConvNeXt V2-atto, ADE20K, 512, 80k: not published.

A light head for small machines, with the learning rate and decay of V1's UperNet.
8 GPUs x 2 images, AMP, backbone from convnextv2_atto_1k_224_ema.pt (fine-tuned).
Train: convnext-backbone train seg/fpn_convnextv2_atto_ade20k
"""

_base_ = [
    '_base_/fpn.py',
    '_base_/ade20k.py',
    '_base_/schedule_80k.py',
    '_base_/runtime.py',
]
