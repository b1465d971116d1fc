"""What holds for detection data of every format."""

import cv2
import numpy as np
import pytest
import supervision as sv
from pycocotools import mask as coco_mask
from support.data_faults import edit, found_in, replace
from support.dataset_writers import (
    CLASSES,
    HEIGHT,
    SPLITS,
    WIDTH,
    box_of,
    scenes,
    write_coco,
    write_labelme,
    write_voc,
    write_yolo,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import class_names, find_faults
from convnext_backbone.datasets.formats.layout import split_of
from convnext_backbone.datasets.scan import scan

WRITERS = {
    'coco': write_coco,
    'yolo': write_yolo,
    'voc': write_voc,
    'labelme': write_labelme,
}


def write_polygons(root):
    return write_yolo(root, polygons=True)


def boxes(records):
    return {
        (r.split, r.image.stem, i.category, tuple(np.round(i.box, 3)))
        for r in records
        for i in r.instances
    }


@pytest.mark.parametrize('write', [*WRITERS.values(), write_polygons])
def test_valid_data_is_the_same_in_every_format(tmp_path, write):
    source = find_source(write(tmp_path))
    records = scan(source, workers=1)
    assert find_faults(source, records) == []
    assert class_names(source, records) == CLASSES
    assert boxes(records) == {
        (split, stem, name, tuple(map(float, box_of(polygon))))
        for split, stem, objects in scenes()
        for name, polygon in objects
    }
    masks = [i.segmentation for r in records for i in r.instances]
    assert all(masks) or write in (write_yolo, write_voc)


@pytest.mark.parametrize('write', [write_polygons, write_labelme])
def test_polygons_become_masks(tmp_path, write):
    records = scan(find_source(write(tmp_path)), workers=1)
    (_, stem, objects) = scenes()[1]
    record = next(r for r in records if r.image.stem == stem)
    for instance, (_, polygon) in zip(record.instances, objects, strict=True):
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(expected, [np.array(polygon)], 1)
        (rle,) = coco_mask.frPyObjects(instance.segmentation, HEIGHT, WIDTH)
        mask = coco_mask.decode(rle)
        assert (mask & expected).sum() > 0.85 * (mask | expected).sum()
        assert np.allclose(instance.segmentation, np.ravel(polygon), atol=0.005)


def exported(root, name):
    """The set as supervision writes it: its images, its annotations."""
    coco = write_coco(root / 'coco')
    for split in SPLITS:
        data = sv.DetectionDataset.from_coco(
            str(coco / split), str(coco / f'{split}.json'), force_masks=name != 'voc'
        )
        to = root / name / split
        if name == 'yolo':
            data.as_yolo(
                str(to / 'images'), str(to / 'labels'), str(root / name / 'data.yaml')
            )
        elif name == 'voc':
            data.as_pascal_voc(str(to), str(to))
        else:
            data.as_labelme(str(to), str(to))
    return root / name


@pytest.mark.parametrize('name', ['yolo', 'voc', 'labelme'])
def test_reads_what_supervision_writes(tmp_path, name):
    records = scan(find_source(exported(tmp_path, name)), workers=1)
    wanted = {stem: (split, objects) for split, stem, objects in scenes()}
    assert len(records) == len(wanted)
    for record in records:
        split, objects = wanted[record.image.stem]
        assert record.split == split
        assert [i.category for i in record.instances] == [n for n, _ in objects]
        for instance, (_, polygon) in zip(record.instances, objects, strict=True):
            assert np.abs(np.subtract(instance.box, box_of(polygon))).max() <= 1


@pytest.mark.parametrize('name', WRITERS)
def test_an_image_that_is_gone(tmp_path, name):
    root = WRITERS[name](tmp_path)
    next(root.rglob('train_1.png')).unlink()
    (kind,) = {fault[:2] for fault in found_in(root)}
    assert kind == ('error', 'missing-image')


@pytest.mark.parametrize('name', WRITERS)
def test_an_image_that_is_cut_off(tmp_path, name):
    root = WRITERS[name](tmp_path)
    image = next(root.rglob('train_1.png'))
    image.write_bytes(image.read_bytes()[:900])
    assert found_in(root) == [('error', 'truncated-image', 'train_1.png', '')]


@pytest.mark.parametrize('name', ['coco', 'voc', 'labelme'])
def test_an_image_of_another_size(tmp_path, name):
    root = WRITERS[name](tmp_path)
    image = next(root.rglob('train_1.png'))
    cv2.imwrite(str(image), np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
    ((level, kind, file, _),) = found_in(root)
    assert (level, kind) == ('error', 'size-mismatch')
    assert file in ('train.json', 'train_1.xml', 'train_1.json')


# How each format states the box of train_0, (5, 5) to (25, 20), and where it is.
def set_box(root, name, x1, y1, x2, y2):
    if name == 'coco':
        box = [x1, y1, x2 - x1, y2 - y1]
        edit(root / 'train.json', lambda c: c['annotations'][0].update(bbox=box))
        return 'train.json', 'annotation 1'
    if name == 'yolo':
        values = (x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT
        values += (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT
        file = root / 'labels' / 'train' / 'train_0.txt'
        file.write_text(' '.join(map(str, (0, *values))))
        return file.name, 'line 1'
    if name == 'voc':
        file = root / 'Annotations' / 'train_0.xml'
        new = f'<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>'
        replace(file, '<xmin>6</xmin><ymin>6</ymin><xmax>25</xmax>', new)
        replace(file, '<ymax>20</ymax>', f'<ymax>{y2}</ymax>')
        return file.name, 'object 1'
    file = root / 'train' / 'train_0.json'
    points = [[x1, y1], [x2, y2]]
    shape = {'label': 'box', 'points': points, 'shape_type': 'rectangle'}
    edit(file, lambda c: c.update(shapes=[shape]))
    return file.name, 'shape 1'


@pytest.mark.parametrize('name', WRITERS)
def test_a_box_outside_its_image(tmp_path, name):
    root = WRITERS[name](tmp_path)
    where = set_box(root, name, WIDTH + 5, 5, WIDTH + 9, 20)
    assert ('error', 'box-outside', *where) in found_in(root)


@pytest.mark.parametrize('name', WRITERS)
def test_a_box_that_reaches_out_is_clipped(tmp_path, name):
    root = WRITERS[name](tmp_path)
    where = set_box(root, name, 5, 5, WIDTH + 9, 20)
    assert ('warning', 'box-outside', *where) in found_in(root)
    record = next(
        r for r in scan(find_source(root), workers=1) if r.image.stem == 'train_0'
    )
    assert np.allclose(record.instances[0].box, (5, 5, WIDTH, 20), atol=1e-4)


@pytest.mark.parametrize('name', ['coco', 'yolo', 'labelme'])
def test_a_box_without_area(tmp_path, name):
    root = WRITERS[name](tmp_path)
    where = set_box(root, name, 5, 5, 5, 20)
    assert ('warning', 'zero-area', *where) in found_in(root)


@pytest.mark.parametrize('name', ['coco', 'yolo', 'voc'])
def test_a_box_of_negative_size(tmp_path, name):
    root = WRITERS[name](tmp_path)
    where = set_box(root, name, 25, 5, 5, 20)
    faults = [f for f in found_in(root) if f[0] == 'error']
    (kind,) = {f[1] for f in faults}
    assert kind in ('negative-area', 'bad-annotation')
    assert faults[0][2:] == where


def test_images_that_are_turned(tmp_path):
    from PIL import Image

    root = write_voc(tmp_path)
    file = root / 'JPEGImages' / 'train_0.png'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(file).save(file, exif=exif)
    faults = found_in(root)
    assert ('warning', 'exif-rotation', 'train_0.png', '') in faults
    assert ('error', 'size-mismatch', 'train_0.xml', '') in faults


@pytest.mark.parametrize(
    ('name', 'split'),
    [
        ('train2017', 'train'),
        ('instances_val2017', 'val'),
        ('my_data_train', 'train'),
        ('train_set', 'train'),
        ('val_images', 'val'),
        ('test-dev2017', 'test'),
        ('train_station', ''),
        ('trainset', ''),
        ('_annotations.coco', ''),
    ],
)
def test_split_of_a_name(name, split):
    assert split_of(name) == split


def test_folders_of_no_split_do_not_vanish(tmp_path):
    root = write_labelme(tmp_path / 'labelme')
    (root / 'val').rename(root / 'more')
    assert ('error', 'unread-folder', 'more', '') in found_in(root)
    root = write_voc(tmp_path / 'voc')
    for folder in ('train', 'more'):
        (tmp_path / 'b' / folder).mkdir(parents=True)
    for path in [*root.rglob('*.xml'), *root.rglob('*.png')]:
        folder = 'train' if path.stem.startswith('train') else 'more'
        path.rename(tmp_path / 'b' / folder / path.name)
    assert found_in(tmp_path / 'b') == [('error', 'unread-folder', 'more', '')]


@pytest.mark.parametrize(
    ('write', 'file'),
    [(write_voc, 'Annotations/train_1.xml'), (write_labelme, 'train/train_1.json')],
)
def test_image_without_annotation(tmp_path, write, file):
    root = write(tmp_path)
    (root / file).unlink()
    assert found_in(root) == [('warning', 'no-annotation', 'train_1.png', '')]


@pytest.mark.parametrize('name', WRITERS)
def test_suffixes_in_capitals(tmp_path, name):
    root = WRITERS[name](tmp_path)
    for suffix in ('.json', '.xml', '.txt'):
        for file in list(root.rglob(f'*{suffix}')):
            if file.parent.name != 'Main':
                file.rename(file.with_suffix(suffix.upper()))
    source = find_source(root)
    assert source.format == name
    assert len(boxes(scan(source, workers=1))) == 8


def test_nothing_of_any_format(tmp_path):
    with pytest.raises(ValueError, match='no data of a known format'):
        find_source(tmp_path)
    with pytest.raises(ValueError, match='does not exist'):
        find_source(tmp_path / 'x')
    with pytest.raises(ValueError, match='not of the format voc'):
        find_source(write_yolo(tmp_path / 'y'), format='voc')


def test_data_for_two_tasks(tmp_path):
    from convnext_backbone.demo_scenes import make_demo_data

    root = tmp_path / 'demo'
    make_demo_data(root, train=2, val=1, size=96)
    with pytest.raises(ValueError, match='--task det or --task seg'):
        find_source(root)
    assert find_source(root, task='det').format == 'coco'
    assert find_source(root, task='seg').format == 'ade20k'
