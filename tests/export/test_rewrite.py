"""Modules in the form that inference engines run faster compute the same."""

import copy
import inspect

import pytest
import torch
from support.tiny_models import CHANNELS, raw_images, stir
from torch import nn

from convnext_backbone.backbone.block import GRN, Block
from convnext_backbone.backbone.convnext import ConvNeXt, LayerNorm2d
from convnext_backbone.export import convert
from convnext_backbone.export.rewrite import AdaptiveMean, rewrite

OTHER_ACTS = ('gelu_tanh', 'silu', 'relu', 'quick_gelu')


@pytest.mark.parametrize(
    ('use_grn', 'act', 'norm_eps'),
    [(False, 'gelu', 1e-6), (True, 'gelu', 1e-6)]
    + [(v2, act, 0.1) for v2, act in zip([False, True] * 2, OTHER_ACTS, strict=True)],
)
def test_the_rewritten_backbone_is_the_same_function(use_grn, act, norm_eps):
    backbone = stir(
        ConvNeXt(
            dict(depths=[1, 1, 2, 1], channels=CHANNELS),
            layer_scale_init_value=0.5,
            use_grn=use_grn,
            act=act,
            norm_eps=norm_eps,
        )
    ).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = backbone(x)
        actual = rewrite(backbone)(x)
    kinds = (Block, GRN, LayerNorm2d, nn.Linear)
    assert not [m for m in backbone.modules() if isinstance(m, kinds)]
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [1, 2, 3, 6, (2, 5), (None, 3)])
@pytest.mark.parametrize('shape', [(7, 10), (6, 6), (4, 1), (13, 32)])
def test_adaptive_mean_is_adaptive_average_pooling(size, shape):
    pool = nn.AdaptiveAvgPool2d(size)
    x = torch.randn(2, 3, *shape)
    torch.testing.assert_close(AdaptiveMean(pool)(x), pool(x))


@pytest.mark.parametrize('factor', [2, 3])
def test_upsampling_is_recorded_for_every_size(factor):
    from mmseg.models.utils import Upsample

    module = nn.Sequential(Upsample(scale_factor=factor, mode='bilinear'))
    program = convert.trace(rewrite(copy.deepcopy(module)), torch.zeros(2, 3, 64, 96))
    x = raw_images(1, 3, 96, 32)
    takes = inspect.signature(program.module).parameters  # torch 2.8 checks none
    unchecked = {'check_guards': False} if 'check_guards' in takes else {}
    torch.testing.assert_close(program.module(**unchecked)(x), module(x))
