"""Times contestants in turn: everyone once a round, each round in another order."""

import statistics
from collections.abc import Callable, Hashable, Mapping
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from convnext_backbone.benchmark.machine import synchronize
from convnext_backbone.benchmark.masks import Masks
from convnext_backbone.benchmark.peers import Contestant

# From the seed of a round, which decides over dropped samples, to seconds by what.
K = TypeVar('K', bound=Hashable)
Step = Callable[[int], dict[str, float]]


def measure(
    steps: Mapping[K, Step], rounds: int, title: str
) -> dict[K, dict[str, list[float]]]:
    """Run each step once a round, after a round that does not count.

    Args:
        steps: What to time, by contestant.
        rounds: How often.
        title: Of the progress bar.

    Returns:
        For each contestant the seconds of all rounds, by what was timed.
    """
    seconds: dict[K, dict[str, list[float]]] = {name: {} for name in steps}
    names = list(steps)
    bar = tqdm(range(rounds + 1), title, disable=None, leave=False)
    for number in bar:
        first = number % len(names)
        for name in names[first:] + names[:first]:
            bar.set_postfix_str(str(name))
            for what, taken in steps[name](number).items():
                if number:  # the first round warms up
                    seconds[name].setdefault(what, []).append(taken)
    return seconds


def spread(seconds: list[float]) -> float:
    """Interquartile range, relative to the median; 0 of a single value."""
    if len(seconds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4, method='inclusive')
    return (high - low) / statistics.median(seconds)


class Inference:
    """A forward pass in eval mode, without gradients."""

    def __init__(self, module: Callable[[Tensor], object], images: Tensor) -> None:
        self.module = module
        self.images = images

    def __call__(self, seed: int) -> dict[str, float]:
        """Run it and tell the seconds."""
        device = str(self.images.device)
        if isinstance(self.module, torch.nn.Module):
            self.module.eval()
        with torch.no_grad():
            synchronize(device)
            start = perf_counter()
            self.module(self.images)
            synchronize(device)
            return {'eval': perf_counter() - start}


class TrainingStep:
    """A forward pass in training mode, and a backward pass from given gradients.

    The gradients of the maps are the same random numbers for everyone and every step,
    in the layout of the maps: the layers after a backbone hand back what they got.
    """

    def __init__(self, contestant: Contestant, masks: Masks, images: Tensor) -> None:
        self.contestant = contestant
        self.masks = masks
        self.images = images
        self.gradients: list[Tensor] = []

    def __call__(self, seed: int) -> dict[str, float]:
        """Run it and tell the seconds of the forward pass, and of both."""
        device = str(self.images.device)
        module = self.contestant.module.train()
        module.zero_grad(set_to_none=True)
        self.contestant.seed(seed, self.masks, len(self.images))
        synchronize(device)
        start = perf_counter()
        outs = module(self.images)
        synchronize(device)
        middle = perf_counter()
        if not self.gradients:  # the first step warms up
            self.gradients = [_gradient(out) for out in outs]
        torch.autograd.backward(outs, self.gradients)
        synchronize(device)
        end = perf_counter()
        module.zero_grad(set_to_none=True)
        return {'train': middle - start, 'forward_backward': end - start}


def _gradient(out: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.empty_like(out).copy_(torch.randn(out.shape, generator=generator))
