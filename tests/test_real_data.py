"""The published configs on real images: train, validate, resume, test."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.registry import DefaultScope
from test_tools import SMALL, tool

from convnext_backbone.convnext import ConvNeXt

COCO = ('det/cascade_convnext_t_coco.py', 'det/mask_convnext_t_coco.py')
FEW = [
    'train_dataloader.dataset.indices=4',
    'val_dataloader.dataset.indices=2',
    'test_dataloader.dataset.indices=2',
]


@pytest.fixture(autouse=True)
def own_scope():
    yield
    DefaultScope._instance_dict.clear()


def go_through(config, data_root, work_dir, loop, more, stops) -> dict:
    """Train two steps, validate and save; resume for two more; test the result."""
    common = ['--data-root', data_root, '--work-dir', work_dir]
    options = ['--cfg-options', *FEW, *SMALL, *loop]
    pretrained = work_dir.parent / 'convnext_tiny.pth'  # in place of Meta's
    state = ConvNeXt(arch='tiny').state_dict()
    torch.save(
        {'model': {k: v for k, v in state.items() if k[:4] != 'norm'}}, pretrained
    )
    assert tool('train', config, *common, '--init', pretrained, *options) == 0
    assert torch.load(work_dir / stops[0], weights_only=False)['meta']['iter'] == 2
    assert tool('train', config, *common, '--resume', *options, more) == 0
    state = torch.load(work_dir / stops[1], weights_only=False)
    assert state['meta']['iter'] == 4
    assert all(v.isfinite().all() for v in state['state_dict'].values())
    assert tool('test', config, work_dir / stops[1], *common, *options) == 0
    return json.loads((work_dir / 'metrics.json').read_text())['metrics']


@pytest.mark.slow
@pytest.mark.parametrize('config', COCO)
def test_detectors_on_coco(in_root, data_dir, tmp_path, config):
    # Two steps leave scores below the threshold, so there may be no AP to report.
    go_through(
        f'configs/{config}',
        data_dir / 'coco_mini',
        tmp_path,
        ['train_cfg.max_epochs=1'],
        'train_cfg.max_epochs=2',
        ('epoch_1.pth', 'epoch_2.pth'),
    )


def ade20k_of(aerial: Path, root: Path) -> Path:
    """A few of the aerial images with labels up to 150, in ADE20K's layout."""
    for split in ('training', 'validation'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for image in sorted((aerial / 'images' / split).glob('*.jpg'))[:4]:
            shutil.copy(image, root / 'images' / split)
            name = f'{image.stem}.png'
            labels = cv2.imread(str(aerial / 'annotations' / split / name), 0)
            cv2.imwrite(str(root / 'annotations' / split / name), labels * 30)
    return root


@pytest.mark.slow
def test_segmentor_on_150_classes_in_the_layout_of_ade20k(in_root, data_dir, tmp_path):
    metrics = go_through(
        'configs/seg/upernet_convnext_t_ade20k.py',
        ade20k_of(data_dir / 'aerial', tmp_path / 'data'),
        tmp_path / 'work',
        [
            'train_cfg.max_iters=2',
            'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=2',
        ],
        'train_cfg.max_iters=4',
        ('iter_2.pth', 'iter_4.pth'),
    )
    assert metrics.keys() >= {'mIoU', 'mAcc', 'aAcc'}


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'folder', 'length'),
    [
        ('det/mask_convnext_atto_nuclei.py', 'nuclei', 'train_cfg.max_epochs=1'),
        ('seg/upernet_convnext_atto_aerial.py', 'aerial', 'train_cfg.max_iters=2'),
    ],
)
def test_small_models_start_on_data_of_ones_own(
    in_root, data_dir, tmp_path, config, folder, length
):
    argv = [f'configs/{config}', '--data-root', data_dir / folder]
    argv += ['--work-dir', tmp_path, '--cfg-options', *FEW, *SMALL, length]
    assert tool('train', *argv) == 0
    assert list(tmp_path.glob('*_[12].pth'))
