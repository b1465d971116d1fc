"""Our backbone and those of others, with the same weights.

Each emits four LayerNorm-ed maps.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark.contest_archs import Arch
from convnext_backbone.benchmark.formulas import (
    FormulaConvNeXt,
    MetaConvNeXt,
    MMPretrainConvNeXt,
)
from convnext_backbone.benchmark.kept_samples import Masks
from convnext_backbone.benchmark.libraries import (
    Built,
    build_hf,
    build_timm,
    build_torchvision,
    timm_has,
    torchvision_has,
)
from convnext_backbone.foundation.errors import UserError

OURS = 'ours'


@dataclass(frozen=True)
class Contestant:
    """A backbone that takes part.

    Attributes:
        name: 'ours', or that of a peer.
        module: Maps images (N, 3, H, W) to four maps.
        params: Its parameters under our names.
        with_cp: The level of checkpointing of ours; of a peer whether it checkpoints.
    """

    name: str
    module: nn.Module
    params: Mapping[str, nn.Parameter]
    with_cp: bool | str = False

    def seed(self, seed: int, masks: Masks, batch: int) -> None:
        """Make the next training step drop the samples that go with ``seed``."""
        torch.manual_seed(seed)
        if self.name != OURS:  # ours draws the same numbers itself
            masks.draw(batch)


@dataclass(frozen=True)
class Peer:
    """How to get a peer's backbone.

    Attributes:
        build: From an arch, masks and whether to checkpoint, to the module, and from
            its parameters' names to ours.
        imports: The modules of a library that it needs, its package first.
        has_arch: Whether the peer publishes an arch.
        checkpoints: Whether it can recompute activations in backward.
    """

    build: Callable[[Arch, Masks, bool], Built]
    imports: tuple[str, ...] = ()
    has_arch: Callable[[Arch], bool] = lambda arch: True
    checkpoints: bool = True


def _formula(model: type[FormulaConvNeXt]) -> Peer:
    return Peer(lambda arch, masks, with_cp: (model(arch, masks, with_cp), str))


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
    """Tell why a peer cannot be compared: not installed or available; else None."""
    peer = PEERS[name]
    if any(importlib.util.find_spec(module) is None for module in peer.imports[:1]):
        return 'not installed'
    if not peer.has_arch(arch) or (with_cp and not peer.checkpoints):
        return 'not available'
    return None


def build(
    name: str,
    arch: Arch,
    masks: Masks,
    state: Mapping[str, Tensor],
    with_cp: bool | str = False,
) -> Contestant:
    """Build a backbone with given weights.

    Args:
        name: 'ours', or a name of :data:`PEERS`.
        arch: What to build.
        masks: Its drop path rates, and which samples a peer keeps.
        state: The weights: a state dict of ours.
        with_cp: Of ours the level of checkpointing; of a peer whether it checkpoints.

    Raises:
        UserError: The peer has other parameters than ours.
    """
    if name == OURS:
        module: nn.Module = ConvNeXt(
            arch=dict(depths=arch.depths, channels=arch.channels),
            drop_path_rate=masks.rates[-1],
            use_grn=arch.use_grn,
            with_cp=with_cp,
        )
        rename = str
    else:
        module, rename = PEERS[name].build(arch, masks, bool(with_cp))
    params = {rename(key): param for key, param in module.named_parameters()}
    if set(params) != set(state):
        odd = sorted(map(str, set(params) ^ set(state)))
        raise UserError(
            f'{name} has other parameters than ours for arch {arch.name}: '
            f'{", ".join(odd[:5])}'
        )
    with torch.no_grad():
        for key, param in params.items():  # a library's shape may have other ones
            param.copy_(state[key].reshape(param.shape))
    return Contestant(name, module, params, with_cp)
