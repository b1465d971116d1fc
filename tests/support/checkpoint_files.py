"""Small models, their state dicts, and checkpoint files of them."""

import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support.small_models import narrow
from torch import nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import Checkpoint, CheckpointRef

ARCH = dict(depths=(1, 1, 2, 1), channels=(8, 16, 24, 32))
DET = 'configs/det/cascade_convnext_t_coco.py'
SEG = 'configs/seg/upernet_convnext_t_ade20k.py'


def classifier(arch=ARCH, use_grn=False, **kwargs) -> dict[str, torch.Tensor]:
    """A classifier's state dict under Meta's names."""
    model = ConvNeXt(arch=arch, use_grn=use_grn, **kwargs)
    state = {k: v for k, v in model.state_dict().items() if not re.match(r'norm\d', k)}
    width = model.channels[-1]
    state |= {'norm.weight': torch.ones(width), 'norm.bias': torch.zeros(width)}
    return state | {'head.weight': torch.zeros(5, width), 'head.bias': torch.zeros(5)}


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def held(state: dict[str, torch.Tensor], name: str = 'x.pth') -> Checkpoint:
    """A state dict as if it had been read from a file."""
    return Checkpoint.of(state, CheckpointRef.parse(name), Path(name))


def build(config: str) -> nn.Module:
    return build_with(Config.fromfile(config), {})


def build_with(cfg: Config, options: dict[str, object]) -> nn.Module:
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


def small(config: str, **options) -> nn.Module:
    """A published config's model, shrunk."""
    cfg = Config.fromfile(config)
    cfg.model = narrow(cfg.model)
    channels = list(ARCH['channels'])
    options['model.backbone.arch'] = dict(ARCH, _delete_=True)
    if 'neck' in cfg.model:
        options['model.neck.in_channels'] = channels
    else:
        options['model.decode_head.in_channels'] = channels
        options['model.auxiliary_head.in_channels'] = channels[2]
    return build_with(cfg, options)


def assert_untouched(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
