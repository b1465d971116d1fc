"""Detectors and segmentors of few channels, with weights that all have an effect."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support.commands import DET
from support.paths import ROOT
from torch import Tensor, nn

from convnext_backbone.config.loading import read_config

CHANNELS = [8, 16, 24, 32]
SEG_V2 = 'configs/seg/fpn_convnextv2_atto_ade20k.py'


def tiny_config(config: str) -> Config:
    cfg = read_config(str(ROOT / config))
    model = cfg.model
    model.backbone.arch = dict(depths=[1, 1, 2, 1], channels=CHANNELS)
    if 'neck' in model:
        model.neck.in_channels = CHANNELS
    if config == SEG_V2:
        model.neck.out_channels = 16
        model.decode_head.update(
            in_channels=[16] * 4, channels=16, norm_cfg=dict(type='BN')
        )
    elif config != DET:
        model.decode_head.update(in_channels=CHANNELS, channels=16)
        model.auxiliary_head.in_channels = CHANNELS[2]
    return cfg


def tiny_model(config: str) -> nn.Module:
    cfg = tiny_config(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    return stir(model)


def stir(module: nn.Module) -> nn.Module:
    """Give every parameter a value that shows when it is left out."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def raw_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.manual_seed(1)).float()
