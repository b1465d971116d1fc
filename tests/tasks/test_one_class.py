"""A single class in masks: trained against the background, reported, predicted."""

import json
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from pycocotools import mask as coco_mask
from support.commands import tool

from convnext_backbone.config.checks import check_one_class
from convnext_backbone.foundation.errors import UserError

BASE = 'seg/upernet_convnext_atto_demo'
SIDE = 64
SPLITS = {'training': 8, 'validation': 4}
# Numbers of background, road and disc in the masks, and what is written with them.
LAYOUTS = {
    '0 and 255': ([0, 0, 255], 'disc', ()),
    '0 and 1': ([0, 0, 1], 'disc', ()),
    'one of three': ([0, 1, 2], 'background\nroad\ndisc', ('--classes', 'disc')),
}


def scene(number):
    """Return an image with a bright disc, and its map: 1 a road, 2 the disc."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[: SIDE // 8] = 1
    x, y = map(int, rng.integers(22, SIDE - 22, 2))
    cv2.circle(labels, (x, y), 18, 2, -1)
    image[labels == 2] += np.uint8(180)
    return image, labels


def write(root, layout, numbers, names):
    """Write the scenes as ADE20K's folders or as images/ and masks/."""
    folders = ('images', 'annotations' if layout == 'ade20k' else 'masks')
    for split, count in SPLITS.items():
        for folder in folders:
            (root / folder / split).mkdir(parents=True)
        for i in range(count):
            image, labels = scene(100 * len(split) + i)
            cv2.imwrite(str(root / folders[0] / split / f'{i}.png'), image)
            mask = np.array(numbers, np.uint8)[labels]
            cv2.imwrite(str(root / folders[1] / split / f'{i}.png'), mask)
    (root / 'classes.txt').write_text(names)
    return root


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    MMLogger._instance_dict.clear()  # the last test's writes to a stream that is closed


def base_of(tmp_path, single_output):
    """A base for two classes; with mmseg's single sigmoid if wanted."""
    if not single_output:
        return BASE
    loss = "dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)"
    head = f'dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode={loss})'
    file = tmp_path / 'single.py'
    file.write_text(
        f"_base_ = 'convnext_backbone::{BASE}.py'\n"
        f'model = dict(decode_head={head}, auxiliary_head={head})\n'
    )
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ('layout', 'numbers', 'single_output'),
    [
        ('masks', '0 and 255', False),
        ('ade20k', '0 and 1', False),
        ('masks', 'one of three', False),
        ('masks', '0 and 255', True),
    ],
)
def test_train_report_and_infer(tmp_path, capfd, layout, numbers, single_output):
    table, names, options = LAYOUTS[numbers]
    root = write(tmp_path / 'data', layout, table, names)
    work = tmp_path / 'work'
    argv = ['--base', base_of(tmp_path, single_output), '--from-scratch']
    argv += ['--iters', 60, '--work-dir', work, *options]
    assert tool('finetune', root, *argv) == 0
    cfg = Config.fromfile(work / 'config.py')
    assert cfg.metainfo.classes == ('background', 'disc')
    assert cfg.model.decode_head.num_classes == 2
    log = capfd.readouterr()
    found = re.findall(r'mIoU: ([\d.]+)', log.out + log.err)
    assert max(map(float, found)) > 70, found
    report = (work / 'report.html').read_text()
    assert 'background' in report
    assert 'disc' in report

    deep = tmp_path / 'deep.png'
    image, truth = scene(7)
    cv2.imwrite(str(deep), image.astype(np.uint16) << 4)  # 12 bits in 16
    cv2.imwrite(str(tmp_path / 'plain.png'), image)
    argv = [work / 'config.py', work, tmp_path / 'plain.png', deep]
    assert tool('infer', *argv, '--out-dir', tmp_path / 'out') == 0
    log = capfd.readouterr()
    assert '1 images of 16 bits, such as' in log.out + log.err
    plain, _ = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    segments = {s['category']: s['segmentation'] for s in plain['segments']}
    disc = coco_mask.decode(segments['disc'])
    union = (disc | (truth == 2)).sum()
    assert (disc & (truth == 2)).sum() > 0.6 * union


def test_a_written_command_has_the_options_of_masks(tmp_path, capsys):
    root = write(tmp_path / 'data', 'masks', [0, 1, 2], 'a\nb')
    common = ['--base', BASE, '--from-scratch', '--dry-run']
    assert tool('finetune', root, *common) == 1
    assert 'Either 0 is a and 1 is b: 2 is ignored.' in capsys.readouterr().err
    options = ['--ignore-label', '2', '--images', 'images', '--masks', 'masks']
    assert tool('finetune', root, *common, *options) == 0
    out = capsys.readouterr().out
    assert '--ignore-label 2 --images images --masks masks' in out
    assert "classes=('a', 'b')" in out


def test_check_dataset_takes_the_options_of_masks(tmp_path, capsys):
    root = write(tmp_path / 'data', 'masks', [0, 1, 2], 'a\nb')
    (root / 'images').rename(root / 'rgb')
    argv = [root, '--picture', tmp_path / 'a.png', '--images', 'rgb']
    assert tool('check_dataset', *argv) == 1
    assert 'give both, or neither' in capsys.readouterr().err
    argv += ['--masks', 'masks', '--ignore-label', 0]
    assert tool('check_dataset', *argv) == 0
    assert 'No faults found.' in capsys.readouterr().out


def test_options_of_masks_are_not_for_a_detector(tmp_path, capsys):
    root = write(tmp_path / 'data', 'masks', [0, 1, 2], 'a\nb')
    argv = ['--base', 'det/mask_convnext_atto_nuclei', '--from-scratch']
    argv += ['--ignore-label', 0]
    assert tool('finetune', root, *argv) == 1
    assert 'for segmentation data' in capsys.readouterr().err


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
def test_a_config_of_one_class_is_told(head):
    cfg = Config(dict(default_scope='mmseg', model=dict(type='EncoderDecoder')))
    cfg.model[head] = dict(num_classes=2)
    check_one_class(cfg)
    cfg.model[head].num_classes = 1
    with pytest.raises(UserError, match=rf'model\.{head} has num_classes=1.*=2'):
        check_one_class(cfg)
    cfg.default_scope = 'mmdet'
    check_one_class(cfg)
