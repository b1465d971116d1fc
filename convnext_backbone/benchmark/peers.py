"""Our backbone and those of the peers, built with the same weights.

Each returns four feature maps, one of each stage, behind a LayerNorm.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.formulas import (
    FormulaConvNeXt,
    MetaConvNeXt,
    MMPretrainConvNeXt,
)
from convnext_backbone.benchmark.libraries import (
    Built,
    build_hf,
    build_timm,
    build_torchvision,
    timm_has,
    torchvision_has,
)
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.foundation.errors import UserError

OURS = 'ours'


@dataclass(frozen=True)
class Contestant:
    """A backbone that takes part in the comparison.

    Attributes:
        name: 'ours', or that of a peer.
        module: Maps images (N, 3, H, W) to four feature maps.
        params: Its parameters, by the names that ours have.
        with_cp: Activation checkpointing: the level of ours, or whether a peer does it.
    """

    name: str
    module: nn.Module
    params: Mapping[str, nn.Parameter]
    with_cp: bool | str = False

    def seed(self, seed: int, kept_samples: KeptSamples, batch: int) -> None:
        """Make the next training step drop the samples that go with ``seed``."""
        torch.manual_seed(seed)
        if self.name != OURS:  # our blocks draw the same numbers themselves
            kept_samples.draw(batch)


@dataclass(frozen=True)
class Peer:
    """How to get a peer's backbone.

    Attributes:
        build: Takes an architecture, the kept samples and whether to recompute
            activations in the backward pass. Returns the module and a function that
            translates the names of its parameters to ours.
        imports: The modules of the library that are needed, its package first.
        has_arch: Tells whether the peer publishes an architecture.
        checkpoints: Whether it can recompute activations in the backward pass.
    """

    build: Callable[[Arch, KeptSamples, bool], Built]
    imports: tuple[str, ...] = ()
    has_arch: Callable[[Arch], bool] = lambda arch: True
    checkpoints: bool = True


def _formula(model: type[FormulaConvNeXt]) -> Peer:
    return Peer(
        lambda arch, kept_samples, with_cp: (model(arch, kept_samples, with_cp), str)
    )


PEERS: dict[str, Peer] = {
    'meta': _formula(MetaConvNeXt),
    'timm': Peer(build_timm, ('timm',), timm_has),
    'torchvision': Peer(
        build_torchvision, ('torchvision',), torchvision_has, checkpoints=False
    ),
    'hf': Peer(
        build_hf,
        (
            'transformers',
            'transformers.models.convnext.modeling_convnext',
            'transformers.models.convnextv2.modeling_convnextv2',
        ),
        checkpoints=False,
    ),
    'mmpretrain': _formula(MMPretrainConvNeXt),
}


def absence(name: str, arch: Arch, with_cp: bool | str = False) -> str | None:
    """Return why a peer cannot be compared, or None if it can."""
    peer = PEERS[name]
    if any(importlib.util.find_spec(module) is None for module in peer.imports[:1]):
        return 'not installed'
    if not peer.has_arch(arch) or (with_cp and not peer.checkpoints):
        return 'not available'
    return None


def build(
    name: str,
    arch: Arch,
    kept_samples: KeptSamples,
    state: Mapping[str, Tensor],
    with_cp: bool | str = False,
) -> Contestant:
    """Build a backbone with given weights.

    Args:
        name: 'ours', or a name of :data:`PEERS`.
        arch: The architecture.
        kept_samples: The drop path rates, and the samples that a peer keeps.
        state: The weights, as a state dict of ours.
        with_cp: Activation checkpointing: the level of ours, or whether a peer does it.

    Raises:
        UserError: The parameters of the peer are not those of ours.
    """
    module: nn.Module
    rename: Callable[[str], str | None] = str
    if name == OURS:
        module = ConvNeXt(
            arch=dict(depths=arch.depths, channels=arch.channels),
            drop_path_rate=kept_samples.rates[-1],
            use_grn=arch.use_grn,
            with_cp=with_cp,
        )
    else:
        module, rename = PEERS[name].build(arch, kept_samples, bool(with_cp))
    params = {
        rename(key) or f'{name}: {key}': param
        for key, param in module.named_parameters()
    }
    if set(params) != set(state):
        odd = sorted(set(params) ^ set(state))
        raise UserError(
            f'the parameters of {name} are not those of ours for architecture '
            f'{arch.name}: {", ".join(odd[:5])} exist in only one of them; the '
            f'installed release is not supported, leave {name} out of --against'
        )
    with torch.no_grad():
        for key, param in params.items():  # some libraries add dimensions of size 1
            param.copy_(state[key].reshape(param.shape))
    return Contestant(name, module, params, with_cp)
