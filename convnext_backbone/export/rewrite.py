"""Replaces modules of a model by forms that inference engines run faster.

All tensors stay (N, C, H, W): linear layers become 1x1 convolutions, and LayerNorm
reduces over dimension 1. OpenVINO then keeps one memory layout from the stem to the
outputs and fuses bias and activation into the convolutions. In the channels_last form,
a third of the time was spent on transposes.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convnext_backbone.backbone.block import (
    ACTIVATIONS,
    GRN,
    Block,
    BlockWeights,
    fold_weights,
    relative_norm,
)
from convnext_backbone.backbone.convnext import LayerNorm2d

if TYPE_CHECKING:
    from mmseg.models.utils import Upsample as MmsegUpsample


class ChannelNorm(nn.Module):
    """LayerNorm over dimension 1 of (N, C, H, W), with or without its affine part."""

    weight: Tensor  # (C, 1, 1)
    bias: Tensor  # (C, 1, 1)

    def __init__(self, norm: nn.LayerNorm, affine: bool = True) -> None:
        super().__init__()
        self.eps = norm.eps
        self.affine = affine
        if affine:
            self.register_buffer('weight', norm.weight.detach()[:, None, None].clone())
            self.register_buffer('bias', norm.bias.detach()[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position of ``x``; the shape stays."""
        x = x - x.mean(1, keepdim=True)
        x = x * torch.rsqrt((x * x).mean(1, keepdim=True) + self.eps)
        return x * self.weight + self.bias if self.affine else x


class ChannelGRN(nn.Module):
    """:class:`~convnext_backbone.backbone.block.GRN` on (N, C, H, W)."""

    gamma: Tensor  # (1, C, 1, 1)
    beta: Tensor  # (1, C, 1, 1)

    def __init__(self, grn: GRN) -> None:
        super().__init__()
        self.register_buffer('gamma', grn.gamma.detach().permute(0, 3, 1, 2).clone())
        self.register_buffer('beta', grn.beta.detach().permute(0, 3, 1, 2).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the response; the shape stays."""
        g = (x * x).sum((2, 3), keepdim=True).sqrt()  # (N, C, 1, 1)
        relative, _ = relative_norm(g, dim=1)
        return x * (1 + self.gamma * relative) + self.beta


class InferenceBlock(nn.Module):
    """A :class:`Block` of convolutions, with the LayerNorm's affine part folded in.

    Layer scale is folded into the last convolution.
    """

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.dwconv = block.dwconv
        self.norm = ChannelNorm(block.norm, affine=False)
        wide = (w if w is None else w.double() for w in block.weights())
        folded = fold_weights(BlockWeights._make(wide))
        self.pwconv1 = _conv1x1(folded.weight1, folded.bias1)
        self.grn = None if block.grn is None else ChannelGRN(block.grn)
        self.pwconv2 = _conv1x1(folded.weight2, folded.bias2)
        self.act = block.act

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        hidden = self.pwconv1(self.norm(self.dwconv(x)))
        hidden = ACTIVATIONS[self.act].apply(hidden)
        if self.grn is not None:
            hidden = self.grn(hidden)
        return x + self.pwconv2(hidden)


class AdaptiveMean(nn.Module):
    """nn.AdaptiveAvgPool2d as two matrix products, for maps of any size.

    ONNX has no adaptive pooling, and its average pooling needs a constant kernel size.
    """

    def __init__(self, pool: nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        size = pool.output_size
        self.size = tuple(size) if isinstance(size, tuple | list) else (size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Average (N, C, H, W) to (N, C, *size)."""
        h, w = x.shape[-2:]
        rows, columns = self.size
        x = _bins(h, rows or h, x.dtype) @ x
        return x @ _bins(w, columns or w, x.dtype).transpose(0, 1)


def _bins(cells: int, bins: int, dtype: torch.dtype) -> Tensor:
    """Return the weights (bins, cells) of the mean over each of PyTorch's bins."""
    index = torch.arange(bins)[:, None]
    cell = torch.arange(cells)[None]
    inside = (cell * bins >= index * cells - (index * cells) % bins) & (
        cell * bins < (index + 1) * cells
    )
    inside = inside.to(dtype)
    return inside / inside.sum(1, keepdim=True)


class Upsample(nn.Module):
    """mmseg's Upsample by an integer factor, for maps of any size.

    mmseg's converts sizes with ``int``, which torch.export silently records as a
    constant: the traced model would be right for images of one size only.
    """

    def __init__(self, module: 'MmsegUpsample') -> None:
        super().__init__()
        self.factor = int(module.scale_factor)
        self.mode = module.mode
        self.align_corners = module.align_corners

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, C, H, W)."""
        size = [side * self.factor for side in x.shape[-2:]]
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)


def rewrite(module: nn.Module) -> nn.Module:
    """Replace the submodules of ``module`` that have another form here, in place.

    Returns:
        The module itself, or its replacement.
    """
    if isinstance(module, Block):
        return InferenceBlock(module)
    if isinstance(module, LayerNorm2d):
        return ChannelNorm(module)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return AdaptiveMean(module)
    if _is_upsample(module):
        return Upsample(module)
    for name, child in module.named_children():
        setattr(module, name, rewrite(child))
    return module


def _is_upsample(module: nn.Module) -> bool:
    """Tell whether a module is mmseg's Upsample by an integer factor."""
    kind = type(module)  # compared by name, because mmseg need not be installed
    if (kind.__module__, kind.__name__) != ('mmseg.models.utils.wrappers', 'Upsample'):
        return False
    factor = module.scale_factor
    return not module.size and isinstance(factor, float) and factor.is_integer()


def _conv1x1(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    conv.weight = nn.Parameter(weight.detach().float()[:, :, None, None])
    conv.bias = nn.Parameter(bias.detach().float())
    return conv
