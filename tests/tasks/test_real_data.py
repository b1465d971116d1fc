"""The published configs on real images: train, validate, resume, test."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from support.commands import SMALL, tool

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.config.loading import read_config

COCO = ('det/cascade_convnext_t_coco.py', 'det/mask_convnext_t_coco.py')
FEW = [
    'train_dataloader.dataset.indices=4',
    'val_dataloader.dataset.indices=2',
    'test_dataloader.dataset.indices=2',
]


def go_through(config, data_root, work_dir, loop, more, stops) -> dict:
    """Train two steps, validate and save; resume for two more; test the result."""
    common = ['--data-root', data_root, '--work-dir', work_dir]
    options = ['--cfg-options', *FEW, *SMALL, *loop]
    pretrained = work_dir.parent / 'convnext_tiny.pth'  # in place of Meta's
    state = ConvNeXt(arch='tiny').state_dict()
    torch.save(
        {'model': {k: v for k, v in state.items() if k[:4] != 'norm'}}, pretrained
    )
    assert (
        tool('train', config, *common, '--init', pretrained, '--no-report', *options)
        == 0
    )
    assert torch.load(work_dir / stops[0], weights_only=False)['meta']['iter'] == 2
    assert (
        tool('train', config, *common, '--resume', '--no-report', *options, more) == 0
    )
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
    assert tool('train', *argv, '--no-report') == 0
    assert list(tmp_path.glob('*_[12].pth'))


# A leaf of each family, with what makes it small enough for a machine without a GPU;
# images are a quarter as wide as they should be, and a step samples few RoIs.
ATTO = [
    'model.backbone.arch=atto',
    'model.backbone.init_cfg=None',
    'model.neck.in_channels=[40,80,160,320]',
]
PLAIN = ['model.backbone.init_cfg=None']
DETECTORS = {
    'mask_convnext_t_coco': ATTO,
    'mask_convnextv2_b_coco': ATTO,
    'cascade_convnext_t_coco': ATTO,
    'faster_convnext_t_coco': ATTO,
    'cascade_boxes_convnext_t_coco': ATTO,
    'fcos_convnext_t_coco': ATTO,
    'dino_convnext_t_coco': [
        *ATTO[:2],
        'model.neck.in_channels=[80,160,320]',
        'model.num_queries=50',  # fewer than the small image has positions
    ],
    'mask_r50_coco': PLAIN,
    'mask_swin_t_coco': PLAIN,
}
HEADS = [
    'model.decode_head.in_channels=[40,80,160,320]',
    'model.auxiliary_head.in_channels=160',
]
SEGMENTORS = {
    'upernet_convnext_b_in22k_640_ade20k': [*ATTO[:2], *HEADS],
    'upernet_convnextv2_b_ade20k': [*ATTO[:2], *HEADS],
    'fpn_convnextv2_atto_ade20k': PLAIN,
    'mask2former_convnext_t_ade20k': [*ATTO[:2], HEADS[0]],
    'upernet_swin_t_ade20k': PLAIN,
    'upernet_r50_ade20k': PLAIN,
}


def quarter(node: object, key: str = '') -> object:
    """Copy a config with the sizes of images and crops divided by four, few RoIs."""
    if isinstance(node, dict):
        fewer = {'num': 32} if 'pos_fraction' in node else {}
        return {k: quarter(v, k) for k, v in node.items()} | fewer
    if isinstance(node, list | tuple):
        sized = key in ('scale', 'scales', 'crop_size', 'size')
        return type(node)(
            value // 4 if sized and isinstance(value, int) else quarter(value, key)
            for value in node
        )
    return node


def train_a_step(name: str, data_root: Path, folder: Path, options: list[str]) -> dict:
    """Train one step of a config on small images; return its checkpoint."""
    path = folder / f'{Path(name).name}.py'
    Config(quarter(read_config(name).to_dict())).dump(path)
    argv = [path, '--data-root', data_root, '--work-dir', folder / 'work']
    options = [*SMALL, *options, 'val_dataloader.dataset.indices=1']
    options.append('default_hooks.checkpoint.save_optimizer=False')
    assert tool('train', *argv, '--no-report', '--cfg-options', *options) == 0
    (saved,) = (folder / 'work').glob('[ei]*_1.pth')
    state = torch.load(saved, weights_only=False)
    assert state['meta']['iter'] == 1
    assert all(v.isfinite().all() for v in state['state_dict'].values())
    return state


@pytest.mark.slow
@pytest.mark.parametrize('name', DETECTORS)
def test_every_family_of_detectors_trains_a_step(in_root, data_dir, tmp_path, name):
    options = [*DETECTORS[name], 'train_dataloader.dataset.indices=2']
    options += ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    train_a_step(f'det/{name}', data_dir / 'coco_mini', tmp_path, options)


@pytest.mark.slow
@pytest.mark.parametrize('name', SEGMENTORS)
def test_every_family_of_segmentors_trains_a_step(in_root, data_dir, tmp_path, name):
    options = [*SEGMENTORS[name], 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    options.append('default_hooks.checkpoint.interval=1')
    root = ade20k_of(data_dir / 'aerial', tmp_path / 'data')
    train_a_step(f'seg/{name}', root, tmp_path, options)
