"""A segmentor's predictions as files, compared with those of mmseg's own metric."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from convnext_backbone.results.label_maps import DumpLabelMaps


def samples(names: list[str], classes: int, **meta) -> list[dict]:
    return [
        {
            'img_path': f'/data/images/{name}',
            'pred_sem_seg': {'data': torch.randint(0, classes, (1, 5, 7))},
            **meta,
        }
        for name in names
    ]


def written(folder: Path, metric: DumpLabelMaps, found: list[dict]) -> dict:
    metric.process({}, found)
    assert metric.evaluate(len(found)) == {}
    return {
        str(path.relative_to(folder)): cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in folder.rglob('*.png')
    }


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_files_are_those_of_mmseg(reduce_zero_label, tmp_path):
    found = samples(['a.jpg', 'b.c.jpg'], 150, reduce_zero_label=reduce_zero_label)
    meta = {'classes': [str(i) for i in range(150)]}
    theirs = IoUMetric(output_dir=str(tmp_path / 'theirs'), format_only=True)
    ours = DumpLabelMaps(str(tmp_path / 'ours'))
    theirs.dataset_meta = ours.dataset_meta = meta
    theirs.process({}, found)
    maps = written(tmp_path / 'ours', ours, found)
    assert set(maps) == {path.name for path in (tmp_path / 'theirs').iterdir()}
    for name, labels in maps.items():
        expected = cv2.imread(str(tmp_path / 'theirs' / name), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, expected)


def test_images_of_one_name_keep_files_of_their_own(tmp_path):
    names = ['left/a.jpg', 'right/a.jpg', 'right/b.jpg', 'right/b.png']
    found = samples(names, 3)
    metric = DumpLabelMaps(str(tmp_path))
    metric.dataset_meta = {'classes': ['x', 'y', 'z']}
    maps = written(tmp_path, metric, found)
    expected = ['left/a.png', 'right/a.png', 'right/b.jpg.png', 'right/b.png.png']
    assert sorted(maps) == expected
    for name, sample in zip(expected, found, strict=True):
        assert np.array_equal(maps[name], sample['pred_sem_seg']['data'][0])


@pytest.mark.parametrize(('classes', 'dtype'), [(255, np.uint8), (256, np.uint16)])
def test_many_classes_are_not_wrapped_around(classes, dtype, tmp_path):
    (sample,) = samples(['a.png'], classes, reduce_zero_label=True)
    sample['pred_sem_seg']['data'][0, 0, 0] = classes - 1
    metric = DumpLabelMaps(str(tmp_path))
    metric.dataset_meta = {'classes': [str(i) for i in range(classes)]}
    labels = written(tmp_path, metric, [sample])['a.png']
    assert labels.dtype == dtype
    assert labels[0, 0] == classes
