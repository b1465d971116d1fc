"""Small backbones of every library, with the same weights."""

import torch

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.peers import Contestant, build
from convnext_backbone.benchmark.random_weights import random_state_dict
from convnext_backbone.benchmark.shared_drop_path import KeptSamples


def small(use_grn: bool = False) -> Arch:
    """A model of five blocks, of a size that every library has."""
    return Arch('tiny', 'tiny', (1, 1, 2, 1), (8, 16, 32, 64), use_grn, 0.6)


def contestants(
    arch: Arch, kept_samples: KeptSamples, *keys: tuple
) -> list[Contestant]:
    state = random_state_dict(arch)
    return [build(name, arch, kept_samples, state, with_cp) for name, with_cp in keys]


def kept_samples_of(arch: Arch) -> KeptSamples:
    return KeptSamples(arch.drop_path, sum(arch.depths))


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
