"""Configs found by name: in a checkout, in a wheel, from anywhere."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from support.paths import ROOT

from convnext_backbone.config.loading import read_config
from convnext_backbone.config.names import find_config

NAME = 'det/cascade_convnext_t_coco'


@pytest.mark.parametrize(
    'form', ['{}', '{}.py', 'configs/{}.py', 'convnext_backbone::{}']
)
def test_a_name_is_enough(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    name = form.format(NAME)
    assert find_config(name) == ROOT / 'configs' / f'{NAME}.py'
    assert read_config(name).model.type == 'CascadeRCNN'


def test_mmengine_knows_our_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f'convnext_backbone::{NAME}.py'
    assert Config.fromfile(name).filename == str(ROOT / 'configs' / f'{NAME}.py')
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = ['{name}']\nmodel = dict(backbone=dict(arch='small'))\n"
    )
    cfg = Config.fromfile(child)
    assert cfg.model.backbone.arch == 'small'
    assert cfg.model.backbone.type == 'convnext_backbone.ConvNeXt'
    assert '_scope_' not in cfg.model
    with pytest.raises(FileNotFoundError, match='no such config in'):
        Config.fromfile('convnext_backbone::det/none.py')


def test_a_file_of_ones_own_goes_before_ours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'det').mkdir()
    (tmp_path / 'det' / 'cascade_convnext_t_coco.py').write_text('model = dict(a=1)\n')
    assert read_config(f'{NAME}.py').model == dict(a=1)


def test_an_inferencer_of_mmdet_takes_the_path(tmp_path):
    from mmdet.apis import DetInferencer

    config = find_config('det/mask_convnext_atto_nuclei')
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    meta = dict(dataset_meta=dict(classes=('nucleus',), palette=[(0, 0, 0)]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'm.pth')
    inferencer = DetInferencer(str(config), weights=str(tmp_path / 'm.pth'))
    found = inferencer(np.zeros((64, 96, 3), np.uint8))['predictions']
    assert set(found[0]) >= {'bboxes', 'labels', 'scores', 'masks'}


@pytest.mark.slow
def test_the_wheel_brings_the_configs(tmp_path):
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '-q']
    command += ['--no-build-isolation', '-w', tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob('*.whl')
    zipfile.ZipFile(wheel).extractall(tmp_path / 'site')
    code = (
        'import convnext_backbone; from mmengine.config import Config;'
        f"print(Config.fromfile('convnext_backbone::{NAME}.py').filename)"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={'PYTHONPATH': str(tmp_path / 'site')},
        capture_output=True,
        text=True,
        check=True,
    )
    config = tmp_path / 'site/convnext_backbone/.mim/configs' / f'{NAME}.py'
    assert done.stdout.strip().endswith(str(config))
    mine = sorted(p.relative_to(ROOT) for p in (ROOT / 'configs').rglob('*.py'))
    theirs = config.parents[1].rglob('*.py')
    assert sorted('configs' / p.relative_to(config.parents[1]) for p in theirs) == mine
