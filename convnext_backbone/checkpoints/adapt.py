"""Fits single weights to a model that differs from the one they were trained in."""

from collections.abc import Mapping

import torch
from torch import Tensor

from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.foundation.errors import UserError

STEM = 'downsample_layers.0.0.weight'


def adapt(
    name: str, weight: Tensor, shape: torch.Size, *, cut_kernels: bool = False
) -> tuple[Tensor, str] | None:
    """Fit a backbone's weight to another input or kernel size.

    Args:
        name: The weight's name in the backbone.
        weight: The weight in the checkpoint.
        shape: The shape that the model has.
        cut_kernels: Whether a larger kernel may be cut, which changes the function.

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
    given, wanted = weight.shape[2], shape[2]
    if '.dwconv.' in name and square and (given - wanted) % 2 == 0:
        if given > wanted and not cut_kernels:
            return None
        how = 'cut' if given > wanted else 'grown with zeros'
        note = f'depthwise kernels {how} from {given} to {wanted} pixels'
        return adapt_kernel(weight, wanted), note
    return None


def check_kernels(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], reference: CheckpointRef
) -> None:
    """See that no depthwise kernels of a backbone would have to be cut.

    Args:
        given: The checkpoint's weights.
        own: The model's.
        reference: Where the checkpoint came from.

    Raises:
        UserError: Some would; they could be cut if that is wanted.
    """
    for key, weight in given.items():
        if not key.endswith('.dwconv.weight') or key not in own:
            continue
        shape = own[key].shape
        if weight.shape == shape or adapt(key, weight, shape):
            continue
        if adapt(key, weight, shape, cut_kernels=True):
            sides = [w.shape[-1] for k, w in given.items() if '.dwconv.w' in k]
            raise UserError(
                f'checkpoint {reference} has depthwise kernels of {weight.shape[-1]} '
                f'pixels, the model of {shape[-1]} ({key}): cut, they would compute '
                f'something else; set kernel_size={max(sides)} in the backbone, or ask '
                f"for the cut with adapt='kernel' in the init_cfg or in "
                f'checkpoints.load'
            )


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
