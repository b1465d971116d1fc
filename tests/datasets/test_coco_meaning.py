"""COCO annotations whose flags and boxes may mean something else."""

import json

import numpy as np
import pytest
import supervision as sv
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from support.data_faults import edit, found_in
from support.dataset_writers import HEIGHT, SPLITS, WIDTH, write_coco

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import prepare
from convnext_backbone.datasets.scan import scan


def each(root, change):
    """Change every annotation of both files."""
    for split in SPLITS:
        edit(root / f'{split}.json', lambda c: [change(a) for a in c['annotations']])
    return root


def flagged(root):
    return [i.crowd for r in scan(find_source(root), workers=1) for i in r.instances]


@pytest.mark.parametrize('flag', ['iscrowd', 'ignore'])
@pytest.mark.parametrize('value', ['0', '1', 'false', 2, -1, 0.5, [0], {}])
def test_flags_that_are_no_numbers(tmp_path, flag, value):
    root = each(write_coco(tmp_path), lambda a: a.update({flag: value}))
    faults = found_in(root)
    assert ('error', 'bad-annotation', 'train.json', 'annotation 1') in faults
    assert flagged(root) == []


@pytest.mark.parametrize('value', [0, False, 0.0, None])
def test_flags_that_are_not_set(tmp_path, value):
    root = each(write_coco(tmp_path), lambda a: a.update(iscrowd=value, ignore=value))
    assert found_in(root) == []
    assert not any(flagged(root))


@pytest.mark.parametrize('flag', ['iscrowd', 'ignore'])
@pytest.mark.parametrize('value', [1, True, 1.0])
def test_objects_to_ignore_are_crowds(tmp_path, monkeypatch, flag, value):
    """pycocotools, which evaluates, knows iscrowd only."""
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    root = write_coco(tmp_path / 'data')

    def change(content):
        content['annotations'][1].update({flag: value})

    edit(root / 'train.json', change)
    assert found_in(root) == []
    data = prepare(find_source(root), None, seed=0)
    coco = COCO(str(data.folder / 'train.json'))
    assert len(coco.getAnnIds(iscrowd=True)) == 1
    assert len(coco.getAnnIds(iscrowd=False)) == len(coco.getAnnIds()) - 1


def test_a_split_of_crowds_only_is_empty(tmp_path, monkeypatch):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    root = each(write_coco(tmp_path / 'data'), lambda a: a.update(iscrowd=1))
    faults = found_in(root)
    for split in SPLITS:
        assert ('error', 'empty-split', 'data', split) in faults
    with pytest.raises(ValueError, match='all 5 are crowds'):
        prepare(find_source(root), None, seed=0)


def corners(annotation):
    x, y, w, h = annotation['bbox']
    annotation['bbox'] = [x, y, x + w, y + h]


def test_boxes_of_corners_that_the_polygons_show(tmp_path):
    root = each(write_coco(tmp_path), corners)
    faults = [fault for fault in found_in(root) if fault[1] == 'box-notation']
    assert ('error', 'box-notation', 'train.json', 'annotation 1') in faults
    source = find_source(root)
    messages = [f.message for r in scan(source, workers=1) for f in r.faults]
    assert any('seem to be x1, y1, x2, y2' in message for message in messages)


def test_boxes_of_corners_that_the_rles_show(tmp_path):
    root = write_coco(tmp_path)

    def change(annotation):
        (rle,) = coco_mask.frPyObjects(annotation['segmentation'], HEIGHT, WIDTH)
        rle['counts'] = rle['counts'].decode()
        annotation['segmentation'] = rle

    each(root, change)
    assert found_in(root) == []
    each(root, corners)
    assert ('error', 'box-notation', 'val.json', 'annotation 1') in found_in(root)


def test_boxes_of_corners_that_the_areas_show(tmp_path):
    root = each(write_coco(tmp_path), lambda a: a.pop('segmentation'))
    assert found_in(root) == []
    each(root, corners)
    assert ('error', 'box-notation', 'val.json', 'annotation 1') in found_in(root)


def test_boxes_of_corners_that_leave_their_images(tmp_path):
    root = write_coco(tmp_path)

    def change(annotation):
        corners(annotation)
        annotation.pop('segmentation')
        annotation.pop('area')

    each(root, change)
    assert ('error', 'box-notation', 'train.json', '') in found_in(root)


def test_boxes_at_the_border_are_as_they_should_be(tmp_path):
    root = write_coco(tmp_path)

    def change(annotation):
        annotation.pop('segmentation')
        annotation.update(bbox=[0.5, 0.2, WIDTH - 0.5, HEIGHT - 0.2])
        annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]

    each(root, change)
    assert found_in(root) == []


@pytest.mark.parametrize(
    ('moved', 'told'), [(0.9, False), (1.1, True), (-1.1, True), (9, True)]
)
def test_a_box_that_differs_from_its_mask(tmp_path, moved, told):
    root = write_coco(tmp_path)

    def change(content):
        content['annotations'][0]['bbox'][0] += moved

    edit(root / 'train.json', change)
    fault = ('warning', 'box-and-mask-differ', 'train.json', 'annotation 1')
    assert found_in(root) == ([fault] if told else [])


def test_a_per_cent_of_a_large_object_is_no_difference(tmp_path):
    import cv2

    root = tmp_path
    (root / 'train').mkdir()
    cv2.imwrite(str(root / 'train' / 'a.png'), np.zeros((900, 1000, 3), np.uint8))
    polygon = [[100, 100, 900, 100, 900, 800, 100, 800]]
    for shift, kinds in ((7, []), (9, ['box-and-mask-differ'])):
        annotation = {'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0}
        annotation |= {'bbox': [100 + shift, 100, 800, 700], 'segmentation': polygon}
        image = {'id': 1, 'file_name': 'a.png', 'width': 1000, 'height': 900}
        content = {'images': [image], 'annotations': [annotation]}
        content['categories'] = [{'id': 1, 'name': 'a'}]
        (root / 'train.json').write_text(json.dumps(content))
        (record,) = scan(find_source(root), workers=1)
        assert [fault.kind for fault in record.faults] == kinds


def test_what_supervision_writes_agrees(tmp_path):
    root = write_coco(tmp_path / 'a')
    for split in SPLITS:
        data = sv.DetectionDataset.from_coco(
            str(root / split), str(root / f'{split}.json'), force_masks=True
        )
        to = tmp_path / 'b' / split
        data.as_coco(str(to), str(to / '_annotations.coco.json'))
    assert found_in(tmp_path / 'b') == []


@pytest.mark.parametrize('name', ['coco', 'labelme', 'voc'])
def test_boxes_relative_to_the_image(tmp_path, name):
    from support.dataset_writers import write_labelme, write_voc

    writers = {'coco': write_coco, 'labelme': write_labelme, 'voc': write_voc}
    root = writers[name](tmp_path)
    if name == 'coco':
        each(root, lambda a: a.update(bbox=[0.1, 0.2, 0.3, 0.4], area=0.12))
        each(root, lambda a: a.pop('segmentation'))
    for file in root.rglob('*.json' if name == 'labelme' else '*.xml'):
        if name == 'labelme':
            points = [[0.1, 0.2], [0.4, 0.6]]
            shape = {'label': 'box', 'points': points, 'shape_type': 'rectangle'}
            edit(file, lambda c, s=shape: c.update(shapes=[s]))
        else:
            import re

            text = re.sub(r'>\d+</(x|y)min>', r'>1.1</\1min>', file.read_text())
            file.write_text(re.sub(r'>\d+</(x|y)max>', r'>0.6</\1max>', text))
    kinds = {fault[:2] for fault in found_in(root)}
    # VOC counts from 1: its numbers below 1 are corners in the wrong order.
    assert ('error', 'bad-annotation' if name == 'voc' else 'relative-box') in kinds


def test_an_object_narrower_than_a_pixel_is_told(tmp_path):
    """Mmdet's data sets leave them out."""
    root = write_coco(tmp_path)

    def change(content):
        content['annotations'][0].update(bbox=[5, 5, 0.6, 15], area=9)
        content['annotations'][0].pop('segmentation')

    edit(root / 'train.json', change)
    assert ('warning', 'zero-area', 'train.json', 'annotation 1') in found_in(root)


@pytest.mark.parametrize('folder', ['', 'annotations'])
def test_keypoints_alone_are_read_for_their_boxes(tmp_path, folder):
    root = write_coco(tmp_path)
    (root / folder).mkdir(exist_ok=True)
    for split in SPLITS:
        (root / split).rename(root / f'{split}2017')
        name = f'person_keypoints_{split}2017.json'
        (root / f'{split}.json').rename(root / folder / name)
    faults = found_in(root)
    assert [fault[:2] for fault in faults] == [('warning', 'keypoints')] * 2
    assert len(flagged(root)) == 8
    # Where there are instances of the same split, those are read.
    text = (root / folder / 'person_keypoints_val2017.json').read_text()
    (root / folder / 'instances_val2017.json').write_text(text)
    assert [fault[2] for fault in found_in(root)] == ['person_keypoints_train2017.json']


def test_coco_files_without_objects_are_told(tmp_path):
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations' / 'captions_train2017.json').write_text('{}')
    with pytest.raises(ValueError, match=r'captions_train2017\.json in .*needed'):
        find_source(tmp_path)


def test_images_with_boxes_only_among_images_with_masks(tmp_path):
    root = write_coco(tmp_path)

    def change(content):
        content['annotations'][-1].pop('segmentation')  # the only one of its image

    edit(root / 'val.json', change)
    fault = ('warning', 'no-segmentation', tmp_path.name, '')
    assert found_in(root) == [fault]
