"""The steps that are timed: inference, and a training step of the backbone."""

from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from convnext_backbone.benchmark.machine import synchronize
from convnext_backbone.benchmark.peers import Contestant
from convnext_backbone.benchmark.shared_drop_path import KeptSamples


class Inference:
    """A forward pass in eval mode, without gradients."""

    def __init__(self, module: Callable[[Tensor], object], images: Tensor) -> None:
        self.module = module
        self.images = images

    def __call__(self, seed: int) -> dict[str, float]:
        """Run it and return the seconds."""
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

    The gradients of the feature maps are the same random numbers for all contestants
    and steps. They have the memory layout of the maps, as a detector's neck would
    return them.
    """

    def __init__(
        self, contestant: Contestant, kept_samples: KeptSamples, images: Tensor
    ) -> None:
        self.contestant = contestant
        self.kept_samples = kept_samples
        self.images = images
        self.gradients: list[Tensor] = []

    def __call__(self, seed: int) -> dict[str, float]:
        """Run it and return the seconds of the forward pass, and of both passes."""
        device = str(self.images.device)
        module = self.contestant.module.train()
        module.zero_grad(set_to_none=True)
        self.contestant.seed(seed, self.kept_samples, len(self.images))
        synchronize(device)
        start = perf_counter()
        outs = module(self.images)
        synchronize(device)
        middle = perf_counter()
        if not self.gradients:  # the first step is not measured
            self.gradients = [_gradient(out) for out in outs]
        torch.autograd.backward(outs, self.gradients)
        synchronize(device)
        end = perf_counter()
        module.zero_grad(set_to_none=True)
        return {'train': middle - start, 'forward_backward': end - start}


def _gradient(out: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.empty_like(out).copy_(torch.randn(out.shape, generator=generator))
