"""FLOPs of the backbone's forward and backward pass, with drop path.

A multiply-add counts as two. Operations are counted as in
:mod:`convnext_backbone.inspect_config.op_counter`.
"""

import functools
import re

import torch

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.inspect_config.fake_models import fake_tensors, meta_parameters
from convnext_backbone.inspect_config.op_counter import OpCounter

STEM = 'downsample_layers.0'
BACKWARD = 2  # products in the backward pass for each one in the forward pass


def forward_flops(
    arch: Arch, batch: int, shape: tuple[int, int], drop_path: float = 0.0
) -> float:
    """Count the FLOPs of all convolutions and linear layers in a forward pass.

    A block with drop path counts for the samples that it keeps on average, although
    some of the peers compute the others too.

    Args:
        arch: The architecture.
        batch: Number of images.
        shape: Their height and width, pixels.
        drop_path: Rate of the last block; it rises linearly from 0 at the first.
    """
    return 2.0 * batch * sum(_kept_multiply_adds(arch, shape, drop_path).values())


def step_flops(
    arch: Arch, batch: int, shape: tuple[int, int], drop_path: float = 0.0
) -> float:
    """Count the FLOPs of forward and backward pass, as :func:`forward_flops` does.

    For every layer, the backward pass has a product for the gradient of the weights and
    one for that of the inputs. The stem has only the first, because images need no
    gradient.
    """
    parts = _kept_multiply_adds(arch, shape, drop_path)
    stem = parts.pop(STEM)
    return 2.0 * batch * (BACKWARD * stem + (1 + BACKWARD) * sum(parts.values()))


def _kept_multiply_adds(
    arch: Arch, shape: tuple[int, int], drop_path: float
) -> dict[str, float]:
    """Return the multiply-adds of an image that drop path keeps, by part."""
    last = max(1, sum(arch.depths) - 1)
    kept: dict[str, float] = {}
    block = 0
    for part, multiply_adds in _multiply_adds(arch, shape).items():
        kept[part] = multiply_adds
        if part.startswith('stages.'):
            kept[part] = (1 - drop_path * block / last) * multiply_adds
            block += 1
    return kept


@functools.cache
def _multiply_adds(arch: Arch, shape: tuple[int, int]) -> dict[str, int]:
    """Count an image's multiply-adds: of the stem, downsampling layers and blocks.

    The parts are named after the modules, in the order in which they run.
    """
    with meta_parameters():
        model = ConvNeXt(
            arch=dict(depths=arch.depths, channels=arch.channels), use_grn=arch.use_grn
        )
    with fake_tensors(model.eval()), torch.no_grad():
        stem = next(model.parameters())
        with OpCounter(model, _part_of) as counter:
            model(stem.new_zeros(1, stem.shape[1], *shape))
    return dict(counter.flops)


def _part_of(name: str) -> str:
    """Return the downsampling layer or the block that a module belongs to."""
    found = re.match(r'downsample_layers\.\d+|stages\.\d+\.\d+', name)
    return found[0] if found else name
