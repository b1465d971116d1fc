"""Detection data in YOLO's format: its layouts, and each fault."""

import cv2
import numpy as np
import pytest
import yaml
from support.data_faults import found_in, replace
from support.dataset_writers import (
    write_yolo,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.scan import scan


def test_yolo_class_without_a_name(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'labels' / 'val' / 'val_1.txt').write_text('2 .5 .5 .1 .1')
    faults = found_in(root)
    assert ('error', 'unknown-category', 'val_1.txt', 'line 1') in faults


@pytest.mark.parametrize(
    'line', ['0 0.1 0.2', 'disk 0.1 0.1 0.1 0.1', '0 a b c d', '1.7 .5 .5 .1 .1']
)
def test_yolo_line_that_is_none(tmp_path, line):
    root = write_yolo(tmp_path)
    with (root / 'labels' / 'train' / 'train_1.txt').open('a') as stream:
        stream.write(f'\n{line}')
    assert found_in(root) == [('error', 'bad-annotation', 'train_1.txt', 'line 3')]


def test_yolo_without_names(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'data.yaml').unlink()
    with pytest.raises(ValueError, match=r'classes.txt'):
        find_source(root)
    (root / 'classes.txt').write_text('box\ndisk\n')
    assert found_in(root) == []


def test_yolo_names_by_number(tmp_path):
    root = write_yolo(tmp_path)
    content = {'names': {0: 'box', 1: 'disk'}, 'path': '.', 'train': 'images/train'}
    content['val'] = ['images/val']
    (root / 'data.yaml').write_text(yaml.safe_dump(content))
    assert found_in(root) == []
    content['names'] = {1: 'box', 2: 'disk'}
    (root / 'data.yaml').write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match='numbered 0, 1, 2'):
        find_source(root)


def test_yolo_labels_without_an_image(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'labels' / 'train' / 'ghost.txt').write_text('0 .5 .5 .1 .1')
    assert found_in(root) == [('error', 'missing-image', 'ghost.txt', '')]


def test_yolo_images_of_one_name(tmp_path):
    root = write_yolo(tmp_path)
    cv2.imwrite(
        str(root / 'images' / 'train' / 'train_0.jpg'), np.zeros((8, 8, 3), np.uint8)
    )
    assert ('error', 'duplicate-image', 'train_0.png', '') in found_in(root)


def test_yolo_image_without_labels_is_background(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'labels' / 'train' / 'train_1.txt').unlink()
    assert found_in(root) == []


def test_yolo_folders_of_one_split_are_all_read(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'data.yaml').unlink()
    (root / 'classes.txt').write_text('box\ndisk\n')
    for kind, name in [('images', 'train_3.png'), ('labels', 'train_3.txt')]:
        (root / kind / 'train2017').mkdir()
        old = root / kind / 'train' / name
        old.rename(root / kind / 'train2017' / name)
    items = find_source(root).items
    assert [item.split for item in items] == ['train'] * 4 + ['val'] * 2
    assert all(item.annotation.is_file() for item in items)


def test_yolo_path_that_is_not_there(tmp_path):
    root = write_yolo(tmp_path)
    replace(root / 'data.yaml', 'images/val', 'images/vall')
    assert found_in(root) == [('error', 'missing-folder', 'data.yaml', 'val')]


def test_yolo_list_of_images(tmp_path):
    root = write_yolo(tmp_path)
    names = [f'./images/train/train_{i}.png' for i in (0, 1, 9)]
    (root / 'train.txt').write_text('\n'.join(names))
    replace(root / 'data.yaml', 'images/train', 'train.txt')
    records = scan(find_source(root), workers=1)
    counts = [len(r.instances) for r in records if r.split == 'train']
    assert counts == [1, 2]
    assert ('error', 'missing-image', 'train.txt', 'line 3') in found_in(root)


def test_yolo_names_that_are_unclear(tmp_path):
    root = write_yolo(tmp_path)
    replace(root / 'data.yaml', '- disk', '- box')
    with pytest.raises(ValueError, match="'box' more than once"):
        find_source(root)
    (root / 'data.yaml').unlink()
    (root / 'classes.txt').write_text('box\n\ndisk\n\n')
    with pytest.raises(ValueError, match='line 2 is blank'):
        find_source(root)
    (root / 'classes.txt').write_text('box\ndisk\n\n')
    assert found_in(root) == []
