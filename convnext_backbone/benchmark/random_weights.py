"""Random weights with which every parameter has an effect on the outputs."""

import torch
from torch import Tensor

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark.arch_specs import Arch


def random_state_dict(arch: Arch, seed: int = 0) -> dict[str, Tensor]:
    """Draw a state dict of our backbone.

    Layer scale and GRN are far from their initial values, at which they do nothing, or
    nearly nothing.
    """
    model = ConvNeXt(
        arch=dict(depths=arch.depths, channels=arch.channels), use_grn=arch.use_grn
    )
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for key, value in state.items():
        leaf = key.rsplit('.', 1)[1]
        if '.grn.' in key:
            value.normal_(0, 0.3, generator=generator)
        elif leaf == 'gamma':
            value.uniform_(0.2, 1, generator=generator)
        elif leaf == 'bias':
            value.normal_(0, 0.1, generator=generator)
        elif value.ndim == 1:  # the weight of a LayerNorm
            value.uniform_(0.7, 1.3, generator=generator)
        else:
            fan_in = value[0].numel()
            value.normal_(0, fan_in**-0.5, generator=generator)
    return state
