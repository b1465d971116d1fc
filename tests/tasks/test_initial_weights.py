"""What a training starts from is found in its config, and fetched once."""

import pytest
from mmengine.config import Config

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks import initial_weights as module
from convnext_backbone.tasks.initial_weights import (
    fetch_initial_weights,
    initial_weights,
)

OURS = 'convnext_backbone.ConvNeXt'
SHA = 'ab' * 32


def config(init_cfg=None, kind=OURS, **others) -> Config:
    backbone = dict(type=kind, init_cfg=init_cfg)
    return Config(dict(model=dict(backbone=backbone), **others))


def checkpoint(source: str, **others) -> dict:
    return dict(type='convnext_backbone.Checkpoint', source=source, **others)


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """The sources that were fetched; nothing is downloaded."""
    sources = []
    monkeypatch.setattr(module, 'fetch', lambda ref: sources.append(str(ref)))
    return sources


def found(cfg: Config) -> list[tuple[str, str]]:
    return [(item.of, str(item.reference)) for item in initial_weights(cfg)]


def test_weights_are_found_in_load_from_or_the_backbone():
    assert found(config()) == []
    assert found(Config(dict(model=dict(backbone=None)))) == []
    init_cfg = [dict(type='Kaiming'), checkpoint('a.pth', sha256=SHA)]
    (weights,) = initial_weights(config(init_cfg))
    assert (weights.of, str(weights.reference)) == ('backbone', 'a.pth')
    assert weights.reference.sha256 == SHA
    pretrained = dict(type='Pretrained', checkpoint='b.pth', prefix='backbone.')
    assert found(config(pretrained)) == [('backbone', 'b.pth#backbone')]
    assert found(config(init_cfg, load_from='c.pth')) == [('model', 'c.pth')]


def test_schemes_of_mmengine_are_left_to_it(fetched):
    init_cfg = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    fetch_initial_weights(initial_weights(config(init_cfg, 'ResNet')), 'train')
    assert fetched == []
    init_cfg['checkpoint'] = 'https://host/resnet50.pth'
    fetch_initial_weights(initial_weights(config(init_cfg, 'ResNet')), 'train')
    assert fetched == ['https://host/resnet50.pth']


@pytest.mark.parametrize(
    ('cfg', 'command', 'advice'),
    [
        (config(checkpoint('/no/a.pth')), 'train', r'model\.backbone\.init_cfg=None$'),
        (config(checkpoint('/no/a.pth')), 'finetune', '--from-scratch, which takes'),
        (config(load_from='/no/a.pth'), 'finetune', '--from-scratch, which takes'),
        (config(load_from='/no/a.pth'), 'train', 'or meta://NAME$'),
        (config(dict(type='Pretrained', checkpoint='x://a')), 'train', 'x:// is unk'),
    ],
)
def test_the_ways_out_are_those_of_the_command(cfg, command, advice):
    with pytest.raises(UserError, match=f'^checkpoint .*{advice}'):
        fetch_initial_weights(initial_weights(cfg), command)


@pytest.mark.parametrize(
    ('init_cfg', 'message'),
    [
        (dict(layer='Conv2d'), 'init_cfg=.*, which has no type'),
        (['Pretrained'], "init_cfg='Pretrained'.*expected a dict"),
        (dict(type='Pretrained'), 'has no checkpoint'),
        (checkpoint(3), 'given as 3: expected a path'),
    ],
)
def test_a_wrong_init_cfg_is_told(init_cfg, message):
    with pytest.raises(UserError, match=message):
        initial_weights(config(init_cfg))
