"""Learning rates by group and over the schedule."""

import re

import cv2
import pytest
from mmengine.config import Config
from support.commands import tool
from support.error_messages import only_error

from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.inspect_config import lr_curves, lr_groups
from convnext_backbone.openmmlab.schedules import low_eta_min

DET = 'configs/det/cascade_convnext_t_coco.py'
SEG = 'configs/seg/upernet_convnext_t_ade20k.py'


def test_groups_hold_every_parameter_once(in_root):
    groups = lr_groups.build_groups(Config.fromfile(DET))
    assert 85e6 < sum(group.params for group in groups) < 87e6
    assert groups[0].name == 'layer_00.decay'
    assert groups[0].lr == pytest.approx(2e-4 * 0.7**7)
    assert groups[-1].lr == 2e-4
    assert {g.weight_decay for g in groups if 'no_decay' in g.name} == {0}


def test_a_baseline_has_groups_too(in_root):
    groups = lr_groups.build_groups(Config.fromfile('configs/det/mask_swin_t_coco.py'))
    assert {group.weight_decay for group in groups} == {0.0, 0.05}


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        # warm-up to its end, the steps at epochs 27 and 33
        (
            DET,
            [(0.0, 1e-3), (10, 1), (26.9, 1), (27.1, 0.1), (33.1, 0.01), (35.9, 0.01)],
        ),
        (SEG, [(0, 1e-6), (80_000, (160_000 - 80_000) / 158_500), (160_000, 0)]),
    ],
)
def test_the_schedule_is_the_published_one(in_root, config, expected):
    cfg = Config.fromfile(config)
    groups = lr_groups.build_groups(cfg)
    positions, rates = lr_curves.trace_rates(cfg, [groups[0], groups[-1]])
    for position, factor in expected:
        nearest = min(range(len(positions)), key=lambda i: abs(positions[i] - position))
        for curve, group in zip(rates, (groups[0], groups[-1]), strict=True):
            assert curve[nearest] == pytest.approx(
                factor * group.lr, rel=0.02, abs=1e-9
            )


def test_an_epoch_is_as_long_as_the_data(in_root, tmp_path):
    cfg = Config.fromfile(DET)
    assert lr_curves.epoch_length(cfg) == 117_266 // 16
    make_demo_data(tmp_path / 'demo', train=7, val=2, size=96)
    dataset = cfg.train_dataloader.dataset
    dataset.data_root, dataset.ann_file = str(tmp_path / 'demo'), 'detection/train.json'
    cfg.auto_scale_lr.base_batch_size = 2
    known = sorted((tmp_path / 'demo').rglob('*.json'))
    dataset.ann_file = str(next(p for p in known if 'train' in p.name))
    assert lr_curves.epoch_length(cfg) == 3


def test_an_eta_min_above_a_decayed_rate_is_told():
    rates = [('layer_00', 1e-6), ('layer_07', 1e-4)]
    low = dict(type='CosineAnnealingLR', eta_min=1e-5)
    (warning,) = low_eta_min(rates, [low])
    assert 'eta_min=1e-05, above the decayed learning rate of 1 groups' in warning
    assert 'layer_00' in warning
    assert not low_eta_min(rates, [dict(type='PolyLR', eta_min=0.0)])
    assert not low_eta_min(rates, [dict(type='X', eta_min_ratio=0.1)])


def test_the_tool_prints_warns_and_draws(in_root, tmp_path, capsys):
    picture = tmp_path / 'deep' / 'lr.png'
    options = ['param_scheduler.1.eta_min=1e-4', 'param_scheduler.0.end=170000']
    assert (
        tool('show_lr_groups', SEG, '--plot', picture, '--cfg-options', *options) == 0
    )
    out, err = capsys.readouterr()
    assert 'layer_00.no_decay' in out
    assert 'warning: PolyLR ends at eta_min=0.0001, above' in err
    assert 'warning: LinearLR warms the learning rate up until iteration 170000' in err
    assert cv2.imread(str(picture)).std() > 5


def test_print_config_shows_what_differs(in_root, capsys):
    other = 'det/cascade_convnext_s_coco'
    assert tool('print_config', other, '--diff', DET) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "- model.backbone.arch = 'tiny'" in lines
    assert "+ model.backbone.arch = 'small'" in lines
    assert len([line for line in lines if line[0] in '+-']) == 6
    assert tool('print_config', DET) == 0
    assert "arch='tiny'" in capsys.readouterr().out
    assert tool('print_config', 'det/none') == 1
    assert 'config det/none does not exist' in capsys.readouterr().err


def test_groups_without_layer_decay_are_told_apart(in_root, tmp_path, capsys):
    argv = ['det/cascade_r50_coco', '--plot', tmp_path / 'a.png']
    assert tool('show_lr_groups', *argv) == 0
    out = capsys.readouterr().out
    assert out.startswith('group ')
    assert 'group_0' in out
    assert 'group_1' in out


@pytest.mark.parametrize('schedule', [None, dict(type='PolyLR', by_epoch=False)])
def test_schedules_may_be_one_or_none(in_root, schedule):
    cfg = Config.fromfile(SEG)
    cfg.param_scheduler = schedule
    groups = lr_groups.build_groups(cfg)
    _, rates = lr_curves.trace_rates(cfg, groups[-1:])
    assert rates[0][0] == groups[-1].lr
    assert (rates[0][-1] == rates[0][0]) == (schedule is None)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [('file/lr.png', 'exists|Not a directory'), ('p' * 300 + '.png', 'too long')],
)
def test_a_picture_that_cannot_be_written_is_told(
    in_root, name, reason, tmp_path, capsys
):
    (tmp_path / 'file').touch()
    assert tool('show_lr_groups', SEG, '--plot', tmp_path / name) == 1
    error = only_error(capsys.readouterr().err)
    assert f'writing --plot {tmp_path / name}: ' in error
    assert re.search(reason, error)


@pytest.mark.parametrize('content', ['{"images": [', '[]', '{}'])
def test_damaged_annotations_are_told(in_root, content, tmp_path, capsys):
    ann_file = tmp_path / 'train.json'
    ann_file.write_text(content)
    option = f'train_dataloader.dataset.ann_file={ann_file}'
    argv = [DET, '--plot', tmp_path / 'lr.png', '--cfg-options', option]
    assert tool('show_lr_groups', *argv) == 1
    error = only_error(capsys.readouterr().err)
    assert f'{ann_file} is not a COCO json with images' in error


def test_a_picture_of_no_known_kind_is_refused(in_root, tmp_path, capsys):
    assert tool('show_lr_groups', SEG, '--plot', tmp_path / 'a.foo') == 1
    assert 'a.foo: expected a file that ends in one of .png' in capsys.readouterr().err
