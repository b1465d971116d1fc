"""A block's parameters, cast for computing and folded for export."""

from typing import NamedTuple

import torch
from torch import Tensor


class BlockWeights(NamedTuple):
    """The parameters of a block; shapes for C channels and kernels of side K."""

    conv_weight: Tensor  # (C, 1, K, K)
    conv_bias: Tensor  # (C,)
    norm_weight: Tensor | None  # (C,)
    norm_bias: Tensor | None  # (C,)
    weight1: Tensor  # (4C, C)
    bias1: Tensor  # (4C,)
    weight2: Tensor  # (C, 4C)
    bias2: Tensor  # (C,)
    gamma: Tensor | None  # (C,), layer scale
    grn_gamma: Tensor | None  # (4C,)
    grn_beta: Tensor | None  # (4C,)


def cast(weights: BlockWeights, dtype: torch.dtype) -> BlockWeights:
    """Cast what computes in ``dtype``.

    Layer scale and GRN's stay, for they may underflow in half precision. On a CPU
    LayerNorm's stay too: its statistics have the type of its weights.
    """
    stay = {'gamma', 'grn_gamma', 'grn_beta'}
    if weights.weight1.device.type == 'cpu':
        stay |= {'norm_weight', 'norm_bias'}
    return BlockWeights._make(
        w if w is None or name in stay else w.to(dtype)
        for name, w in weights._asdict().items()
    )


def fold_weights(weights: BlockWeights) -> BlockWeights:
    """Fold LayerNorm's affine into the first linear, layer scale into the second.

    For inference: the result has no gradients. In fp16 layer scale is left where it
    is, for its product with the weights may underflow.
    """
    w = BlockWeights._make(t if t is None else t.detach() for t in weights)
    assert w.norm_weight is not None and w.norm_bias is not None, 'folded already'
    bias1 = torch.addmv(w.bias1, w.weight1, w.norm_bias)
    w = w._replace(weight1=w.weight1 * w.norm_weight, bias1=bias1)
    w = w._replace(norm_weight=None, norm_bias=None)
    if w.gamma is not None and w.gamma.dtype != torch.float16:
        weight2, bias2 = w.weight2 * w.gamma[:, None], w.bias2 * w.gamma
        w = w._replace(weight2=weight2, bias2=bias2, gamma=None)
    return w
