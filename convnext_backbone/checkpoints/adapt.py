"""Fits single weights to a model that differs from the one they were trained in."""

import torch
from torch import Tensor

STEM = 'downsample_layers.0.0.weight'


def adapt(name: str, weight: Tensor, shape: torch.Size) -> tuple[Tensor, str] | None:
    """Fit a backbone's weight to another input or kernel size.

    Args:
        name: The weight's name in the backbone.
        weight: The weight in the checkpoint.
        shape: The shape that the model has.

    Returns:
        The weight in ``shape`` and what was done to it, or None where nothing that
        keeps its meaning can be done.
    """
    if weight.ndim != 4 or len(shape) != 4 or len(weight) != shape[0]:
        return None
    if name == STEM and weight.shape[2:] == shape[2:]:
        note = f'stem from {weight.shape[1]} to {shape[1]} input channels'
        return adapt_channels(weight, shape[1]), note
    square = weight.shape[2] == weight.shape[3] and weight.shape[1] == shape[1]
    if '.dwconv.' in name and square and (weight.shape[2] - shape[2]) % 2 == 0:
        note = f'depthwise kernels from {weight.shape[2]} to {shape[2]} pixels'
        return adapt_kernel(weight, shape[2]), note
    return None


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Repeat or merge the input channels of a convolution.

    Target channel c takes source channel c modulo the number of them, shared equally
    between all targets that take it; surplus source channels are added up in the same
    order. The sum over channels stays, so an image of equal channels gives the same
    output as before: the RGB stem becomes one for grey, RGBD or multispectral images.

    Args:
        weight: (C, in, k, k).
        channels: Number of input channels wanted.

    Returns:
        (C, channels, k, k), of the same dtype.
    """
    given = weight.shape[1]
    mixing = weight.new_zeros(channels, given, dtype=torch.float64)
    for c in range(max(channels, given)):
        mixing[c % channels, c % given] = 1
    mixing /= mixing.sum(dim=0)  # each source channel is shared out once
    mixed = torch.einsum('oikl,ci->ockl', weight.double(), mixing)
    return mixed.to(weight.dtype)


def adapt_kernel(weight: Tensor, size: int) -> Tensor:
    """Cut the centre out of square kernels, or surround them with zeros.

    Padding keeps the function exactly, cutting does not.

    Args:
        weight: (C, 1, k, k), k and ``size`` both odd or both even.
        size: Side of the kernels wanted, in pixels.
    """
    margin = (size - weight.shape[-1]) // 2
    return torch.nn.functional.pad(weight, [margin] * 4)
