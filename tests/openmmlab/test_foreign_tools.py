"""Our configs under the tools and inferencers of mmdet and mmseg themselves.

Each runs in a process of its own that never mentions convnext_backbone: what
imports it, and so serves mmcv's ops, is the config.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from support.paths import ROOT

from convnext_backbone.demo_scenes import make_demo_data

DET = 'configs/det/cascade_convnext_atto_demo.py'
SEG = 'configs/seg/upernet_convnext_atto_demo.py'
THEIR_TOOLS = {
    DET: Path(mmdet.__file__).parent / '.mim/tools',
    SEG: Path(mmseg.__file__).parent / '.mim/tools',
}
LENGTH = {DET: 'train_cfg.max_epochs=1', SEG: 'train_cfg.max_iters=2'}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('demo') / 'data'
    make_demo_data(root, train=4, val=2, size=128)
    return root


def run(*argv: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def save_untrained(config: str, path: Path) -> Path:
    cfg = Config.fromfile(ROOT / config)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    DefaultScope._instance_dict.clear()
    meta = dict(dataset_meta=dict(cfg.metainfo))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'package', 'name'),
    [
        (DET, 'mmdet.apis', 'DetInferencer'),
        (SEG, 'mmseg.apis', 'MMSegInferencer'),
    ],
)
def test_inferencers(tmp_path, data, config, package, name):
    weights = save_untrained(config, tmp_path / 'model.pth')
    image = next((data / 'images' / 'validation').glob('*.png'))
    code = f"""
        from {package} import {name}
        model = {name}(model={config!r}, weights={str(weights)!r}, device='cpu')
        out = model({str(image)!r}, return_datasamples=True, show=False)
        sample = out['predictions'][0] if isinstance(out, dict) else out
        print('pred_instances' in sample or 'pred_sem_seg' in sample)
    """
    assert run('-c', textwrap.dedent(code)).splitlines()[-1] == 'True'


@pytest.mark.slow
@pytest.mark.parametrize('config', [DET, SEG])
def test_their_train_and_test_tools(tmp_path, data, config):
    tools = THEIR_TOOLS[config]
    if not (tools / 'train.py').is_file():
        pytest.skip('installed without its tools')
    options = ['--cfg-options', LENGTH[config], 'train_cfg.val_interval=100']
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.dataset.data_root={data}/',
            f'{split}_dataloader.batch_size=2',
            f'{split}_dataloader.num_workers=0',
            f'{split}_dataloader.persistent_workers=False',
        ]
    if config == DET:
        for split in ('val', 'test'):
            options += [f'{split}_evaluator.ann_file={data}/annotations/val.json']
    else:
        options += ['default_hooks.checkpoint.interval=2']
    run(tools / 'train.py', config, '--work-dir', tmp_path, *options)
    checkpoint = next(tmp_path.glob('*_[12].pth'))
    argv = [config, checkpoint, '--work-dir', tmp_path, *options]
    run('-m', 'convnext_backbone', tools / 'test.py', *argv)
