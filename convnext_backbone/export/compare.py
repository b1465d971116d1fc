"""Differences between the outputs of an exported model and those of PyTorch."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from convnext_backbone.foundation.errors import UserError

Model = Callable[[Tensor], tuple[Tensor, ...]]

# Limits, relative to the largest value of an output. In fp32 the deepest models were
# measured at up to 1e-5; an int8 output beyond its limit has nothing to do with fp32's.
MOST_DIFFERENCE = 1e-4
MOST_INT8_DIFFERENCE = 1.0


def differences(
    reference: Model, model: Model, batches: Iterable[Tensor]
) -> list[float]:
    """Compare the outputs of two models.

    Returns:
        For each output the largest difference over all batches, relative to the
        largest value of the reference's output.
    """
    worst: list[float] = []
    with torch.inference_mode():
        for images in batches:
            pairs = list(zip(reference(images), model(images), strict=True))
            found = [relative_difference(ours, theirs) for ours, theirs in pairs]
            worst = [max(p) for p in zip(worst or found, found, strict=True)]
    return worst


def relative_difference(expected: Tensor, actual: Tensor) -> float:
    """Return the largest difference, relative to the largest expected value.

    It is infinite if ``actual`` has another shape or a value that is not finite.
    """
    if expected.shape != actual.shape or not actual.isfinite().all():
        return float('inf')
    largest = expected.abs().max().clamp_min(1e-30)
    return float((expected - actual).abs().max() / largest)


def check(worst: list[float], names: list[str], path: str, most: float) -> None:
    """Raise UserError if an output is further from PyTorch than ``most``."""
    for name, difference in zip(names, worst, strict=True):
        if not difference <= most:
            raise UserError(
                f'{path}: output {name} differs from that of PyTorch by '
                f'{difference:.1e} of its largest value, more than {most:.0e}, so '
                f'nothing was written: try the other --format, or without --int8'
            )
