"""Masks are looked at before reduce_zero_label is believed."""

import re

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from support.commands import SEG

from convnext_backbone.config.loading import load_config
from convnext_backbone.tasks.mask_labels import (
    begins_at_zero,
    labels_beyond,
    mask_label_warnings,
)

SIX = tuple('abcdef')


def pixels(**of_label: int) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for label, number in of_label.items():
        counts[int(label[1:])] = number
    return counts


@pytest.mark.parametrize(
    ('counts', 'names'),
    [
        (dict(_0=5, _1=50, _2=50, _3=50, _4=50, _5=50), SIX),  # all others are there
        (dict(_0=300, _1=50, _3=50), SIX),  # 0 is frequent
        (dict(_0=90, _1=10, _255=30), ('background', 'crack')),
        (dict(_0=100), ('crack',)),
    ],
)
def test_labels_that_begin_at_zero_are_told(counts, names):
    doubt = begins_at_zero(pixels(**counts), names)
    assert f'label {len(names)} is in none of them' in doubt
    assert f'1 is {names[0]!r} and {len(names)} is {names[-1]!r}' in doubt
    assert f'If 0 is {names[0]!r}' in doubt
    assert 'reduce_zero_label=False' in doubt


@pytest.mark.parametrize(
    ('counts', 'names'),
    [
        (dict(_0=300, _1=50, _6=1), SIX),  # the last class is there
        (dict(_1=50, _2=50, _3=50, _4=50, _5=50), SIX),  # nothing is unlabelled
        (dict(_0=5, _1=50, _2=50), SIX),  # few classes, little is unlabelled
    ],
)
def test_labels_that_may_begin_at_one_are_not_doubted(counts, names):
    assert begins_at_zero(pixels(**counts), names) is None


@pytest.mark.parametrize(
    ('counts', 'reduced', 'told'),
    [
        (
            dict(_1=9, _6=9),
            False,
            'label 6 in them is no class.*set reduce_zero_label=T',
        ),
        (dict(_0=9, _6=9, _9=9), False, "labels 6, 9 .*0 is 'a' and 5 is 'f'"),
        (
            dict(_1=9, _7=9),
            True,
            "label 7 .*1 is 'a' and 6 is 'f': number the masks so",
        ),
    ],
)
def test_labels_beyond_the_classes_are_told(counts, reduced, told):
    assert re.search(told, labels_beyond(pixels(**counts), SIX, reduced))


def test_labels_that_are_ignored_are_not_beyond():
    counts = pixels(_0=9, _5=9, _254=3, _255=9)
    assert labels_beyond(counts, SIX, False, ignore_index=254) is None
    assert 'label 254' in labels_beyond(counts, SIX, False)


def config(root, first: int, reduced: bool, count: int = 4, **dataset) -> Config:
    """Write masks with seven classes, of which ``first`` is the lowest number."""
    draw = np.random.default_rng(0)
    for part in ('images', 'annotations'):
        for folder in ('training', 'validation'):
            (root / part / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                size = (20, 20, 3) if part == 'images' else (20, 20)
                values = draw.integers(first, first + 7, size).astype(np.uint8)
                Image.fromarray(values).save(root / part / folder / f'{number}.png')
    cfg = load_config(SEG, data_root=str(root))
    for split in ('train', 'val', 'test'):
        part = cfg[f'{split}_dataloader'].dataset
        part.update(reduce_zero_label=reduced, **dataset)
        for step in part.pipeline:
            if step.type == 'LoadAnnotations':
                step.reduce_zero_label = reduced
    return cfg


@pytest.mark.parametrize(
    ('first', 'reduced', 'told'),
    [
        (0, True, 'label 7 is in none of them, and 0 covers 1'),
        (1, False, 'label 7 in them is no class'),
        (2, True, 'label 8 in them is no class'),
        (1, True, None),
        (0, False, None),
    ],
)
def test_masks_on_disk_are_read(in_root, tmp_path, first, reduced, told):
    cfg = config(tmp_path, first, reduced)
    warnings = mask_label_warnings(cfg, ('train', 'val'))
    if told is None:
        assert warnings == []
        return
    assert len(warnings) == 2
    for warning, split in zip(warnings, ('train', 'val'), strict=True):
        assert warning.startswith(f'4 masks of the {split} data were read: ')
        assert told in warning


def test_the_masks_of_several_views_are_found_too(in_root, tmp_path):
    cfg = config(tmp_path, 0, True)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    assert 'label 7 is in none' in mask_label_warnings(cfg, ('test',))[0]


def test_training_data_with_the_last_class_settles_it(in_root, tmp_path):
    cfg = config(tmp_path, 1, True)
    for path in (tmp_path / 'annotations' / 'validation').glob('*.png'):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(path)
    assert mask_label_warnings(cfg, ('train', 'val')) == []
    assert mask_label_warnings(cfg, ('val',)) != []


def test_a_mask_that_cannot_be_read_is_left_to_the_training(in_root, tmp_path):
    cfg = config(tmp_path, 0, True)
    (tmp_path / 'annotations' / 'training' / '0.png').write_bytes(b'\x89PNG\r\n')
    (tmp_path / 'annotations' / 'training' / '1.png').unlink()
    (warning,) = mask_label_warnings(cfg, ('train',))
    assert warning.startswith('2 masks of the train data')


def test_classes_chosen_from_those_of_a_type_keep_its_numbers(in_root, tmp_path):
    from mmseg.datasets import ADE20KDataset

    chosen = ADE20KDataset.METAINFO['classes'][5:7]
    cfg = config(tmp_path, 1, True, type='ADE20KDataset', metainfo=dict(classes=chosen))
    assert mask_label_warnings(cfg, ('train',)) == []


def test_detectors_have_no_such_masks(in_root):
    cfg = Config.fromfile('configs/det/cascade_convnext_atto_demo.py')
    assert mask_label_warnings(cfg, ('train', 'val')) == []
