import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from convnext_backbone.datasets.convert import (
    use_masks,
    write_detection,
    write_segmentation,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Record, Source
from convnext_backbone.datasets.scan import CHUNK, scan
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.results.predictions import encode

DISK = cv2.circle(np.zeros((40, 50), np.uint8), (20, 20), 10, 1, -1).astype(bool)
SQUARE = [[5, 5, 25, 5, 25, 25, 5, 25]]


def detection(tmp_path, *instances, split='train'):
    record = Record(tmp_path / 'a' / 'x.jpg', split, 50, 40, list(instances))
    return Source('voc', 'det', tmp_path, [Item(record.image, None)]), [record]


def written(tmp_path, source, records, classes=('disk', 'square')):
    write_detection(source, records, classes, tmp_path)
    return COCO(tmp_path / 'train.json')


def test_keeps_boxes_masks_and_crowds(tmp_path):
    source, records = detection(
        tmp_path,
        Instance('square', (5, 5, 25, 25), segmentation=SQUARE),
        Instance('disk', (10, 10, 31, 31), segmentation=encode(DISK)),
        Instance('disk', (0, 0, 9, 9), segmentation=[[0, 0, 9, 0, 9, 9]], crowd=True),
    )
    coco = written(tmp_path, source, records)
    square, disk, crowd = coco.loadAnns(coco.getAnnIds())
    assert coco.loadImgs(1)[0]['file_name'] == 'a/x.jpg'
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == ['disk', 'square']
    assert (square['category_id'], disk['category_id']) == (2, 1)
    assert square['bbox'] == [5, 5, 20, 20]
    assert square['area'] == coco.annToMask(square).sum()
    assert disk['area'] == DISK.sum()
    assert (coco.annToMask(disk) == DISK).all()
    assert crowd['iscrowd'] == 1
    assert (json.loads((tmp_path / 'val.json').read_text()))['images'] == []


def test_boxes_only(tmp_path):
    source, records = detection(tmp_path, Instance('disk', (1, 2, 4, 8)))
    assert not use_masks(records)
    coco = written(tmp_path, source, records)
    (box,) = coco.loadAnns(coco.getAnnIds())
    assert 'segmentation' not in box
    assert box['area'] == 18


def test_an_object_without_mask_among_masks_is_its_box(tmp_path):
    source, records = detection(
        tmp_path,
        Instance('disk', (10, 10, 31, 31), segmentation=encode(DISK)),
        Instance('disk', (10, 10, 31, 31), segmentation=encode(DISK)),
        Instance('square', (5, 5, 25, 20)),
    )
    coco = written(tmp_path, source, records)
    mask = coco.annToMask(coco.loadAnns(3)[0])
    assert mask[5:20, 5:25].all()
    assert mask.sum() == 300


def test_few_masks_are_none(tmp_path):
    source, records = detection(
        tmp_path,
        Instance('disk', (10, 10, 31, 31), segmentation=encode(DISK)),
        Instance('square', (5, 5, 25, 20)),
    )
    coco = written(tmp_path, source, records)
    assert all('segmentation' not in a for a in coco.loadAnns(coco.getAnnIds()))


def test_other_classes_are_left_out(tmp_path):
    boxes = [Instance(name, (0, 0, 9, 9)) for name in ('square', 'disk', 'other')]
    source, records = detection(tmp_path, *boxes)
    coco = written(tmp_path, source, records, ['disk'])
    assert [a['category_id'] for a in coco.loadAnns(coco.getAnnIds())] == [1]


def test_images_elsewhere_keep_their_path(tmp_path):
    record = Record(Path('/elsewhere/x.jpg'), 'train', 50, 40)
    source = Source('yolo', 'det', tmp_path, [Item(record.image, None)])
    write_detection(source, [record], ['disk'], tmp_path)
    content = json.loads((tmp_path / 'train.json').read_text())
    assert content['images'][0]['file_name'] == '/elsewhere/x.jpg'


def read_labels(table, item):
    return table[item.image.name], []


@pytest.fixture
def segmentation(tmp_path):
    table = {}
    items = []
    for i in range(CHUNK + 5):
        name, split = f'{i}.jpg', 'val' if i % 3 == 0 else 'train'
        image = np.full((20, 30, 3), i, np.uint8)
        (tmp_path / 'img').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'img' / name), image)
        table[name] = np.full((20, 30), i % 4, np.uint8)
        items.append(Item(tmp_path / 'img' / name, None, split))
    read = functools.partial(read_labels, table)
    return Source('masks', 'seg', tmp_path, items, ('a', 'b', 'c'), read_labels=read)


def test_masks_have_the_numbers_of_ade20k(segmentation, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    write_segmentation(segmentation, scan(segmentation), ['c', 'a'], out)
    lines = (out / 'train.txt').read_text().splitlines()
    lines += (out / 'val.txt').read_text().splitlines()
    assert sorted(lines) == sorted(f'img/{i}.jpg' for i in range(CHUNK + 5))
    for i, label in enumerate([0, 2, 0, 1]):  # nothing, a, b (left out), c
        mask = cv2.imread(str(out / 'masks' / 'img' / f'{i}.jpg.png'), -1)
        assert mask.shape == (20, 30)
        assert (mask == label).all()
    assert not list(out.rglob('*.part'))


def test_a_mask_that_broke_after_the_check_is_told(segmentation, tmp_path):
    records = scan(segmentation)
    fault = Fault('error', 'unreadable-mask', '3.png', 'cannot be decoded: replace it')
    segmentation.read_labels = lambda item: (None, [fault])
    with pytest.raises(UserError, match=r'^3\.png cannot be decoded: replace it$'):
        write_segmentation(segmentation, records, ['a'], tmp_path / 'out')
    assert not list(tmp_path.rglob('out/masks/*'))


def test_scan_counts_pixels_in_other_processes_as_in_this_one(segmentation):
    several, one = scan(segmentation, workers=2), scan(segmentation, workers=1)
    assert [r.pixels for r in several] == [r.pixels for r in one]
    assert [r.image for r in several] == [i.image for i in segmentation.items]
    assert several[5].pixels == {1: 600}
    assert (several[5].width, several[5].height) == (30, 20)


def test_scan_finds_masks_of_another_size(segmentation):
    segmentation.read_labels.args[0]['7.jpg'] = np.ones((20, 31), np.uint8)
    segmentation.items[7].annotation = Path('7.png')
    (fault,) = scan(segmentation)[7].faults
    assert (fault.level, fault.kind, fault.file) == ('error', 'size-mismatch', '7.png')
    assert '31x20' in fault.message
    assert '30x20' in fault.message


def box_of(item, width, height):
    if width != 30:
        return [], [Fault('error', 'size-mismatch', str(item.image), 'is not')]
    return [Instance('a', (0, 0, 9, 9))], []


def test_scan_reads_no_annotation_of_a_broken_image(segmentation):
    segmentation.task, segmentation.read = 'det', box_of
    segmentation.items[3].image.write_bytes(b'no picture')
    records = scan(segmentation)
    assert [f.kind for f in records[3].faults] == ['unreadable-image']
    assert records[3].instances == []
    assert records[4].instances == [Instance('a', (0, 0, 9, 9))]
