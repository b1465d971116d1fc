"""A ConvNeXt block's forward and backward pass, written by hand.

The numbers are those of the plain formula, ``Block.formula``, which is what PyTorch
differentiates where this cannot run. What is saved here:

- Samples that drop path drops are not computed, and the others not copied.
- The 4C-wide hidden activations are made and used a few rows at a time, in buffers
  that stay in the processor's cache and that the allocator need not fetch from the
  operating system, which on a CPU costs more than computing what is in them.
- Layer scale and drop path's factor enter in the addition of the residual. The
  gradient of layer scale follows from that of the second linear, so that the block's
  output need not be kept.
- The cheap results (LayerNorm, activation) or more are recomputed in backward, see
  :data:`KEPT`.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from convnext_backbone.backbone.block.activations import ACTIVATIONS
from convnext_backbone.backbone.block.block_weights import BlockWeights, cast
from convnext_backbone.backbone.block.depthwise import (
    convolve,
    input_gradient,
    weight_gradient,
)
from convnext_backbone.backbone.block.grn import Grn, sample_norm
from convnext_backbone.backbone.block.linear import linear, linear_act
from convnext_backbone.backbone.block.rows import add_to_kept, as_rows, groups, select

# What is kept for backward at each level of `with_cp`; the rest is recomputed there.
# The block's input is always kept. Of C channels, conv and norm have C, the others 4C.
KEPT: dict[bool | str, frozenset[str]] = {
    False: frozenset({'conv', 'norm', 'linear', 'act'}),
    'selective': frozenset({'conv', 'linear'}),
    'hidden': frozenset({'conv'}),
    True: frozenset(),
}
NORM_EPS = 1e-6


class Settings(NamedTuple):
    """What a block computes with its weights, where archs differ.

    Attributes:
        act: The activation between the linears, a name of :data:`ACTIVATIONS`.
        norm_eps: What LayerNorm adds to the variance.
    """

    act: str = 'gelu'
    norm_eps: float = NORM_EPS


DEFAULTS = Settings()


class _KeptRows(NamedTuple):
    """What is kept of :class:`_Rows` for backward; the rest is None."""

    normed: Tensor | None = None
    mean: Tensor | None = None
    rstd: Tensor | None = None
    hidden: Tensor | None = None
    active: Tensor | None = None


class _Rows(NamedTuple):
    """What a chunk's rows become on their way to the second linear."""

    normed: Tensor  # (R, C)
    mean: Tensor  # (R, 1)
    rstd: Tensor  # (R, 1)
    hidden: Tensor | None  # (R, 4C); None in a forward pass that does not keep it
    active: Tensor  # (R, 4C)

    def keep(self, parts: frozenset[str]) -> _KeptRows:
        normed, mean, rstd = self[:3] if 'norm' in parts else (None, None, None)
        return _KeptRows(
            normed,
            mean,
            rstd,
            self.hidden if 'linear' in parts else None,
            self.active if 'act' in parts else None,
        )


def residual_block(
    x: Tensor,
    weights: BlockWeights,
    kept: Sequence[int],
    scale: float,
    with_cp: bool | str,
    settings: Settings = DEFAULTS,
) -> Tensor:
    """Add a block's branch, times ``scale``, to the kept samples.

    Differentiable once. Under autocast the branch computes in its dtype, LayerNorm's
    and GRN's statistics in fp32; the result has the dtype of ``x``.

    Args:
        x: (N, C, H, W); channels_last, or it is copied.
        weights: The block's parameters.
        kept: Ascending indices of the samples that get the branch.
        scale: Factor of the branch.
        with_cp: A key of :data:`KEPT`.
        settings: Activation and eps.

    Returns:
        (N, C, H, W), channels_last.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    needs_grad = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (x, *weights)
    )
    dtype = _compute_dtype(x)
    if needs_grad:
        return _ResidualBlock.apply(x, kept, scale, with_cp, dtype, settings, *weights)
    if not kept:
        return x
    with torch.autocast(x.device.type, enabled=False):
        used = cast(weights, dtype)
        return _forward(x, used, kept, scale, frozenset(), settings)[0]


def _compute_dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype


class _ResidualBlock(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kept, scale, with_cp, dtype, settings, *weights) -> Tensor:
        ctx.kept, ctx.scale, ctx.dtype, ctx.settings = kept, scale, dtype, settings
        if not kept:
            ctx.save_for_backward(*weights)
            return x.clone()  # of a view, nothing could be changed in place
        with torch.autocast(x.device.type, enabled=False):
            used = cast(BlockWeights(*weights), dtype)
            keep = KEPT[with_cp]
            out, conv, norms, rows = _forward(x, used, kept, scale, keep, settings)
        flat = [tensor for row in rows for tensor in row]
        ctx.save_for_backward(*weights, x, conv, norms, *flat)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        need_x, *_ = ctx.needs_input_grad
        count = len(BlockWeights._fields)
        needed = ctx.needs_input_grad[-count:]
        tensors = ctx.saved_tensors  # once: checkpointing hands them out once
        weights, saved = tensors[:count], tensors[count:]
        grad_x: Tensor | None = grad
        if not ctx.kept:  # DistributedDataParallel waits for every gradient
            grads = BlockWeights._make(
                w if w is None else torch.zeros_like(w) for w in weights
            )
        else:
            x, conv, norms, *flat = saved
            width = len(_KeptRows._fields)
            rows = [
                _KeptRows._make(flat[i : i + width]) for i in range(0, len(flat), width)
            ]
            used = cast(BlockWeights(*weights), ctx.dtype)
            with torch.autocast(x.device.type, enabled=False):
                grad_x, grads = _backward(
                    *(grad, x, conv, norms, rows, used),
                    *(ctx.kept, ctx.scale, ctx.settings, need_x),
                )
        wanted = (
            g.to(w.dtype).view_as(w) if need and g is not None else None
            for g, w, need in zip(grads, weights, needed, strict=True)
        )
        return grad_x, None, None, None, None, None, *wanted


def _forward(
    x: Tensor,
    weights: BlockWeights,
    kept: Sequence[int],
    scale: float,
    keep: frozenset[str],
    settings: Settings,
) -> tuple[Tensor, Tensor | None, Tensor | None, list[_KeptRows]]:
    """Return the block's output, and for backward, as far as in ``keep``, the rest.

    That is the convolution's output, GRN's norms (kept samples, 4C) and all else.
    """
    conv = _convolve(x, kept, weights)
    conv_rows, x_rows = as_rows(conv), as_rows(x)
    result = torch.empty_like(x)
    out = as_rows(result)
    positions = x.shape[2] * x.shape[3]
    for i in set(range(len(x))).difference(kept):
        dropped = slice(i * positions, (i + 1) * positions)
        out[dropped] = x_rows[dropped]

    factor = _factor(weights, scale)
    saved, norms = [], []
    for group in groups(x, kept, weights):
        rows = [
            _compute(conv_rows[c.inner], weights, settings, _KeptRows(), keep)
            for c in group
        ]
        grn = None
        if weights.grn_gamma is not None:
            norms.append(sample_norm([row.active for row in rows]))
            grn = Grn(norms[-1], weights)
        for chunk, row in zip(group, rows, strict=True):
            active = row.active if grn is None else grn.apply(row.active)
            branch = linear(active, weights.weight2, weights.bias2)
            outer = chunk.outer
            torch.addcmul(x_rows[outer], branch, factor, out=out[outer])
            saved.append(row.keep(keep))
    kept_conv = conv if 'conv' in keep else None
    return result, kept_conv, torch.stack(norms) if norms else None, saved


def _backward(
    grad: Tensor,
    x: Tensor,
    conv: Tensor | None,
    norms: Tensor | None,
    saved: list[_KeptRows],
    weights: BlockWeights,
    kept: Sequence[int],
    scale: float,
    settings: Settings,
    need_x: bool,
) -> tuple[Tensor | None, BlockWeights]:
    """Return the gradients of the block's input and of its parameters."""
    dtype = weights.weight1.dtype
    grad = grad.contiguous(memory_format=torch.channels_last)
    if conv is None:
        conv = _convolve(x, kept, weights)
    conv_rows, grad_rows = as_rows(conv), as_rows(grad)
    grad_conv = torch.empty_like(conv)
    grad_conv_rows = as_rows(grad_conv)
    factor = _factor(weights, scale)
    sums = _new_sums(weights)
    todo = iter(saved)

    for i, group in enumerate(groups(x, kept, weights)):
        rows = [
            _compute(conv_rows[c.inner], weights, settings, next(todo)) for c in group
        ]
        row_grads = [grad_rows[c.outer].to(dtype) for c in group]
        grn = None if norms is None else Grn(norms[i], weights)
        _second_linear(rows, row_grads, grn, weights, factor, sums, first=i == 0)
        for chunk, row, row_grad in zip(group, rows, row_grads, strict=True):
            scaled = (row_grad * factor).to(dtype)
            hidden = linear(scaled, weights.weight2.t())  # gradients from here on
            if grn is not None:
                hidden = grn.backward(hidden, row.active)
            assert row.hidden is not None  # backward computes all of a row
            hidden = ACTIVATIONS[settings.act].backward(hidden, row.hidden)
            _add_product(sums.weight1, hidden, row.normed, first=chunk.inner.start == 0)
            sums.bias1.add_(hidden.sum(0, dtype=sums.bias1.dtype))
            normed = linear(hidden, weights.weight1.t())
            grad_conv_rows[chunk.inner] = _norm_backward(
                normed, conv_rows[chunk.inner], row, weights, sums
            )

    # Up to here the second linear's are without the factor that multiplies its output.
    output_times_grad = (sums.weight2 * weights.weight2).sum(1)
    output_times_grad += sums.bias2 * weights.bias2
    grads = sums._replace(
        conv_weight=weight_gradient(
            select(x, kept).to(dtype), grad_conv, weights.conv_weight.shape[-1]
        ),
        conv_bias=grad_conv_rows.sum(0),
        weight2=sums.weight2.mul_(factor[:, None]),
        bias2=sums.bias2 * factor,
        gamma=None if weights.gamma is None else output_times_grad * scale,
    )
    if not need_x:
        return None, grads
    branch = input_gradient(grad_conv, weights.conv_weight)
    return add_to_kept(grad, branch.to(grad.dtype), kept), grads


def _compute(
    conv: Tensor,
    weights: BlockWeights,
    settings: Settings,
    known: _KeptRows,
    keep: frozenset[str] | None = None,
) -> _Rows:
    """Compute what is not ``known`` of some rows (R, C) of the convolution's output.

    In forward, ``keep`` says what backward will find: hidden activations that are
    not kept need not come to memory. In backward, without it, all are computed.
    """
    normed, mean, rstd, hidden, active = known
    if normed is None or mean is None or rstd is None:
        normed, mean, rstd = torch.native_layer_norm(
            *(conv, conv.shape[1:], weights.norm_weight, weights.norm_bias),
            settings.norm_eps,
        )
    if keep is not None and 'linear' not in keep:
        active = linear_act(normed, weights.weight1, weights.bias1, settings.act)
    elif active is None:
        if hidden is None:
            hidden = linear(normed, weights.weight1, weights.bias1)
        active = ACTIVATIONS[settings.act].apply(hidden)
    return _Rows(normed, mean, rstd, hidden, active)


def _second_linear(
    rows: list[_Rows],
    grads: list[Tensor],
    grn: Grn | None,
    weights: BlockWeights,
    factor: Tensor,
    sums: BlockWeights,
    first: bool,
) -> None:
    """Add a group's part of the gradients of the second linear and of GRN."""
    bias = functools.reduce(
        torch.add, (g.sum(0, dtype=sums.bias2.dtype) for g in grads)
    )
    sums.bias2.add_(bias)
    product = sums.weight2
    if grn is not None:
        product, first = torch.empty_like(product), True
    for row, row_grad in zip(rows, grads, strict=True):
        _add_product(product, row_grad, row.active, first)
        first = False
    if grn is not None:
        grn.add_gradients(product, bias, weights, factor, sums)


def _norm_backward(
    grad: Tensor, conv: Tensor, row: _Rows, weights: BlockWeights, sums: BlockWeights
) -> Tensor:
    grad, weight, bias = torch.ops.aten.native_layer_norm_backward(
        grad,
        conv,
        conv.shape[1:],
        row.mean,
        row.rstd,
        weights.norm_weight,
        weights.norm_bias,
        [True, True, True],
    )
    assert sums.norm_weight is not None and sums.norm_bias is not None
    sums.norm_weight.add_(weight)
    sums.norm_bias.add_(bias)
    return grad


def _convolve(x: Tensor, kept: Sequence[int], weights: BlockWeights) -> Tensor:
    selected = select(x, kept).to(weights.conv_weight.dtype)
    conv = convolve(selected, weights.conv_weight, weights.conv_bias)
    return conv.contiguous(memory_format=torch.channels_last)


def _factor(weights: BlockWeights, scale: float) -> Tensor:
    """What multiplies the branch's output: layer scale and drop path's factor, (C,)."""
    if weights.gamma is not None:
        return weights.gamma * scale
    wide = torch.promote_types(weights.bias2.dtype, torch.float32)
    return torch.full_like(weights.bias2, scale, dtype=wide)


def _new_sums(weights: BlockWeights) -> BlockWeights:
    """Sums for the gradients, in fp32 or wider; empty what :func:`_add_product` makes.

    The matrices of the last stages are so large that filling them takes time.
    """
    wide = torch.promote_types(weights.weight1.dtype, torch.float32)
    made = {'weight1'} if weights.grn_gamma is not None else {'weight1', 'weight2'}

    def new(name: str, weight: Tensor | None) -> Tensor | None:
        if weight is None:
            return None
        make = torch.empty_like if name in made else torch.zeros_like
        return make(weight, dtype=wide)

    return BlockWeights._make(new(n, w) for n, w in weights._asdict().items())


def _add_product(total: Tensor, left: Tensor, right: Tensor, first: bool) -> None:
    """Add ``left.t() @ right`` to ``total``, or make it ``total`` if it is the first.

    ``total`` may have a wider type.
    """
    if total.dtype == left.dtype:
        total.addmm_(left.t(), right, beta=0 if first else 1)
    elif first:
        total.copy_(left.t() @ right)
    else:
        total.add_(left.t() @ right)
