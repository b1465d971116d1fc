"""Linear layers by oneDNN on a CPU, where PyTorch itself would call MKL.

On AMD processors oneDNN's fp32 matmul is a fifth faster than MKL's (Zen 4: 190
against 155 GFLOPS on two cores), and GELU can ride on it while its output is still in
the cache. PyTorch offers oneDNN's matmul for fp32 through its compiler's op only;
where a build lacks that op, and for all other devices and types, these functions are
``F.linear`` and the activation after it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from convnext_backbone.backbone.block.activations import ACTIVATIONS

_HAS_OP = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, '_linear_pointwise'
)
_ONEDNN_TYPES = {torch.float32}
if _HAS_OP and torch.ops.mkldnn._is_mkldnn_bf16_supported():
    _ONEDNN_TYPES.add(torch.bfloat16)

if _HAS_OP:  # torch.utils.flop_counter does not know it

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _count_flops(x: tuple, weight: tuple, *_args, out_shape=None, **_kwargs) -> int:
        return 2 * math.prod(x) * weight[0]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map rows (R, in) to (R, out) with a weight of (out, in), in any strides."""
    if _has_onednn(x):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')
    return F.linear(x, weight, bias)


def linear_act(x: Tensor, weight: Tensor, bias: Tensor, act: str) -> Tensor:
    """Apply an activation, a name of :data:`ACTIVATIONS`, to :func:`linear`."""
    if act == 'gelu' and _has_onednn(x):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'gelu', [], 'none')
    return ACTIVATIONS[act].apply(linear(x, weight, bias))


def _has_onednn(x: Tensor) -> bool:
    return (
        x.device.type == 'cpu'
        and x.dtype in _ONEDNN_TYPES
        and _HAS_OP
        and bool(torch.backends.mkldnn.enabled)
    )
