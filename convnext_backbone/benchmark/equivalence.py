"""Checks, before anything is timed, that all contestants compute the same."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from convnext_backbone.benchmark.peers import Contestant
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.export.compare import relative_difference
from convnext_backbone.foundation.errors import UserError

TOLERANCE = 1e-5  # largest difference, relative to the largest value
GRADIENT_SIDE = 64  # pixels; gradients of larger images take much time and memory


def check_equivalence(
    reference: Contestant,
    others: Iterable[Contestant],
    kept_samples: KeptSamples,
    images: Tensor,
    tolerance: float = TOLERANCE,
) -> None:
    """Compare the outputs in eval mode and in training mode, and all gradients.

    The outputs in eval mode are computed on the images, the others on a crop of them.
    The gradients are those of eval mode, without drop path.

    Args:
        reference: Our backbone, without checkpointing.
        others: The backbones that must equal it.
        kept_samples: The samples that the blocks keep in training.
        images: (N, 3, H, W).
        tolerance: Largest difference, relative to the largest value.

    Raises:
        UserError: A backbone computes something else; the message says where.
    """
    crop = images[..., :GRADIENT_SIDE, :GRADIENT_SIDE].contiguous()
    with torch.backends.cudnn.flags(allow_tf32=False):
        expected = _results(reference, kept_samples, images, crop)
        for other in others:
            results = _results(other, kept_samples, images, crop)
            _compare(other.name, results, expected, tolerance)


def _results(
    contestant: Contestant, kept_samples: KeptSamples, images: Tensor, crop: Tensor
) -> dict[str, Tensor]:
    """Compute everything that is compared, by its name in messages."""
    module = contestant.module.eval()
    with torch.no_grad():
        results = _named('map', module(images))
    outs = module(crop)
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(out.shape, generator=generator).to(out) for out in outs]
    inputs = list(contestant.params.values())
    gradients = torch.autograd.grad(outs, inputs, grads)
    for key, gradient in zip(contestant.params, gradients, strict=True):
        results[f'the gradient of {key}'] = gradient.flatten()
    module.train()
    contestant.seed(0, kept_samples, len(crop))
    outs = [out.detach() for out in module(crop)]
    return results | _named('in training map', outs)


def _named(what: str, maps: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f'{what} {i}': value for i, value in enumerate(maps)}


def check_maps(
    name: str, maps: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float
) -> None:
    """Raise UserError unless feature maps equal the expected ones, to a tolerance."""
    _compare(name, _named('map', maps), _named('map', expected), tolerance)


def _compare(
    name: str,
    results: dict[str, Tensor],
    expected: dict[str, Tensor],
    tolerance: float,
) -> None:
    """Raise UserError unless all results equal the expected ones within a tolerance."""
    wrong = f'{name} does not compute what ours does'
    if results.keys() != expected.keys():
        raise UserError(f'{wrong}: {len(results)} results, ours has {len(expected)}')
    for what, ours in expected.items():
        theirs = results[what]
        if theirs.shape != ours.shape:
            raise UserError(
                f'{wrong}: {what} has shape {tuple(theirs.shape)}, ours '
                f'{tuple(ours.shape)}'
            )
        difference = relative_difference(ours, theirs)
        if not difference <= tolerance:
            raise UserError(
                f'{wrong}: {what} differs by {difference:.1e} of its largest value, '
                f'more than {tolerance:.0e}, so nothing was timed; leave {name} out of '
                f'the comparison'
            )
