"""Our models have the names and shapes of Meta's published detectors and segmentors."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support.paths import ROOT
from support.published_layouts import (
    ARCHS,
    Layout,
    backbone,
    cascade_mask_rcnn,
    count_parameters,
    mask_rcnn,
    upernet,
)

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.config.parts import iter_heads

CONFIGS = ROOT / 'configs'
MASK = 'det/mask_convnext_t_coco.py'
CASCADE = 'det/cascade_convnext_t_coco.py'
UPERNET = 'seg/upernet_convnext_t_ade20k.py'
TABLES = {MASK: mask_rcnn, CASCADE: cascade_mask_rcnn, UPERNET: upernet}
# Millions of parameters that the READMEs of facebookresearch/ConvNeXt's
# object_detection and semantic_segmentation give. UperNet's are those of the decode
# and the auxiliary head: without the latter they would be 59, 81, 121, 233 and 389.
PUBLISHED = [
    (MASK, 'tiny', 48),
    (CASCADE, 'tiny', 86),
    (CASCADE, 'small', 108),
    (CASCADE, 'base', 146),
    (CASCADE, 'large', 255),
    (CASCADE, 'xlarge', 407),
    (UPERNET, 'tiny', 60),
    (UPERNET, 'small', 82),
    (UPERNET, 'base', 122),
    (UPERNET, 'large', 235),
    (UPERNET, 'xlarge', 391),
]


def with_arch(config: str, arch: str) -> Config:
    cfg = Config.fromfile(CONFIGS / config)
    if arch != 'tiny':
        channels = list(ARCHS[arch][1])
        options = {'model.backbone.arch': arch}
        if config == UPERNET:
            options['model.decode_head.in_channels'] = channels
            options['model.auxiliary_head.in_channels'] = channels[2]
        else:
            options['model.neck.in_channels'] = channels
        cfg.merge_from_dict(options)
    return cfg


def build(cfg: Config) -> torch.nn.Module:
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        return MODELS.build(cfg.model)


def assert_layout(module: torch.nn.Module, layout: Layout) -> None:
    ours = {key: tuple(weight.shape) for key, weight in module.state_dict().items()}
    assert [key for key in layout if key not in ours] == [], 'missing'
    assert [key for key in ours if key not in layout] == [], 'unexpected'
    misshapen = [(k, ours[k], layout[k]) for k in layout if ours[k] != layout[k]]
    assert misshapen == [], 'misshapen'


@pytest.mark.parametrize(('config', 'arch', 'millions'), PUBLISHED)
def test_models_have_the_published_layout(config, arch, millions):
    layout = TABLES[config](arch)
    model = build(with_arch(config, arch))
    assert_layout(model, layout)
    trained = sum(p.numel() for p in model.parameters())
    assert trained == count_parameters(layout)
    assert round(trained / 1e6) == millions


@pytest.mark.parametrize('config', TABLES)
def test_other_numbers_of_classes_change_the_same_weights(config):
    cfg = with_arch(config, 'tiny')
    for _, head in iter_heads(cfg.model):
        head.num_classes = 7
    assert_layout(build(cfg), TABLES[config]('tiny', num_classes=7))


@pytest.mark.parametrize('v2', [False, True])
def test_the_backbone_alone_has_the_layout_without_prefix(v2):
    depths, channels = (1, 2, 1, 3), (8, 16, 24, 40)
    arch = dict(depths=depths, channels=channels)
    with torch.device('meta'):
        module = ConvNeXt(arch, use_grn=v2)
    assert_layout(module, backbone(depths, channels, v2=v2))
