"""How far an exported model is from PyTorch, and how much faster."""

import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from convnext_backbone.export.timing import Step, measure
from convnext_backbone.foundation.errors import UserError

Model = Callable[[Tensor], tuple[Tensor, ...]]

# Of the largest value of an output. Measured: up to 1e-5, in the deepest models.
MOST_DIFFERENCE = 1e-4
# In eight bits, on the images that were checked: beyond it nothing is left of a model.
MOST_INT8_DIFFERENCE = 1.0


def differences(reference: Model, model: Model, batches: Iterable[Tensor]) -> list:
    """Compare outputs on images.

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
    """Largest difference, relative to the largest expected value.

    Infinite for NaN and for other shapes.
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
                f'{difference:.1e} of its largest value, more than {most:.0e}: this '
                f'model cannot be exported so'
            )


def milliseconds(
    models: dict[str, Model], images: Tensor, runs: int = 7
) -> dict[str, float]:
    """Time models in turn.

    Returns:
        The median, in ms an image, of each.
    """

    def timed(model: Model) -> Step:
        def step(_: int) -> dict[str, float]:
            start = time.perf_counter()
            model(images)
            return {'seconds': time.perf_counter() - start}

        return step

    steps = {name: timed(model) for name, model in models.items()}
    with torch.inference_mode():
        times = measure(steps, runs, 'timing')
    return {
        name: 1000 * statistics.median(t['seconds']) / len(images)
        for name, t in times.items()
    }
