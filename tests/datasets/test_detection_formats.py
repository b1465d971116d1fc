"""Detection data in every format: valid, and with each fault."""

import json
import re

import cv2
import numpy as np
import pytest
import supervision as sv
import yaml
from pycocotools import mask as coco_mask
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
from convnext_backbone.datasets.formats.coco_segmentation import check_segmentation
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


def found_in(root, **kwargs):
    """(level, kind, name of the file, id) of each fault."""
    source = find_source(root, **kwargs)
    faults = find_faults(source, scan(source, workers=1))
    return [(f.level, f.kind, re.split(r'[/\\]', f.file)[-1], f.id) for f in faults]


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


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


@pytest.mark.parametrize(('what', 'kind'), [('images', 'images'), ('annotations', '')])
def test_coco_ids_that_occur_twice(tmp_path, what, kind):
    root = write_coco(tmp_path)

    def change(content):
        content[what][1]['id'] = content[what][0]['id']

    edit(root / 'train.json', change)
    faults = [f for f in found_in(root) if f[1] == 'duplicate-id']
    id = 100 if what == 'images' else 1
    assert faults == [('error', 'duplicate-id', 'train.json', f'id {id}')]


def test_coco_category_that_is_not_there(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['annotations'][0].update(category_id=99))
    fault = ('error', 'unknown-category', 'train.json', 'annotation 1')
    assert fault in found_in(root)


def test_coco_image_that_is_not_there(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['annotations'][0].update(image_id=99))
    assert ('error', 'unknown-image', 'train.json', 'annotation 1') in found_in(root)


def test_coco_image_listed_twice(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['images'].append({**c['images'][0], 'id': 9}))
    assert ('error', 'duplicate-image', 'train.json', 'train_0.png') in found_in(root)


def test_coco_categories_in_another_order(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'val.json', lambda c: c['categories'].reverse())
    assert ('error', 'categories-differ', 'val.json', '') in found_in(root)


def test_coco_categories_of_one_name(tmp_path):
    root = write_coco(tmp_path)
    for split in SPLITS:
        edit(root / f'{split}.json', lambda c: c['categories'][0].update(name='disk'))
    assert ('error', 'duplicate-category', 'val.json', 'disk') in found_in(root)


@pytest.mark.parametrize(
    'wrong',
    [[[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], {'size': [9, 9], 'counts': 'a'}, 'abc'],
)
def test_coco_segmentation_that_is_none(tmp_path, wrong):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['annotations'][0].update(segmentation=wrong))
    fault = ('error', 'bad-segmentation', 'train.json', 'annotation 1')
    assert fault in found_in(root)


def test_coco_object_without_a_mask_among_masks(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['annotations'][1].pop('segmentation'))
    fault = ('warning', 'no-segmentation', 'train.json', 'annotation 2')
    assert found_in(root) == [fault]


def test_coco_split_without_images(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'val.json', lambda c: c.update(images=[], annotations=[]))
    assert found_in(root) == [('error', 'empty-split', tmp_path.name, 'val')]


def test_coco_json_that_is_cut_off(tmp_path):
    root = write_coco(tmp_path)
    file = root / 'train.json'
    file.write_text(file.read_text()[:-40])
    with pytest.raises(ValueError, match=r'train\.json is not valid JSON'):
        find_source(root)


def test_coco_images_that_are_nowhere(tmp_path):
    root = write_coco(tmp_path)
    (root / 'train').rename(root / 'elsewhere')
    with pytest.raises(ValueError, match=r'train_0\.png, which is in none of'):
        find_source(root)


def test_two_coco_files_for_one_split(tmp_path):
    root = write_coco(tmp_path)
    (root / 'train_old.json').write_text((root / 'train.json').read_text())
    with pytest.raises(ValueError, match='give the one'):
        find_source(root)
    assert len(find_source(root / 'train.json').items) == 4


def test_coco_in_its_own_layout_and_roboflows(tmp_path):
    root = write_coco(tmp_path / 'a')
    for split in SPLITS:
        folder = tmp_path / 'b' / {'val': 'valid'}.get(split, split)
        folder.parent.mkdir(exist_ok=True)
        (root / split).rename(folder)
        (root / f'{split}.json').rename(folder / '_annotations.coco.json')
    items = find_source(tmp_path / 'b').items
    assert [item.split for item in items] == ['train'] * 4 + ['val'] * 2
    root = write_coco(tmp_path / 'c')
    (root / 'annotations').mkdir()
    for split in SPLITS:
        (root / split).rename(root / f'{split}2017')
        file = root / 'annotations' / f'instances_{split}2017.json'
        (root / f'{split}.json').rename(file)
        (root / 'annotations' / f'captions_{split}2017.json').write_text('{}')
    assert found_in(root) == []


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
    with pytest.raises(ValueError, match='classes.txt'):
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


def test_voc_xml_that_is_cut_off(tmp_path):
    root = write_voc(tmp_path)
    file = root / 'Annotations' / 'train_1.xml'
    file.write_text(file.read_text()[:-30])
    assert found_in(root) == [('error', 'bad-annotation', 'train_1.xml', '')]


def test_voc_object_without_a_box(tmp_path):
    root = write_voc(tmp_path)
    replace(root / 'Annotations' / 'train_1.xml', 'bndbox>', 'box>')
    faults = [f for f in found_in(root) if f[1] == 'bad-annotation']
    assert faults[0][2] == 'train_1.xml'


def test_voc_difficult_objects_do_not_count(tmp_path):
    root = write_voc(tmp_path)
    file = root / 'Annotations' / 'train_1.xml'
    replace(file, '<difficult>0', '<difficult>1')
    record = scan(find_source(root), workers=1)[1]
    assert [i.crowd for i in record.instances] == [True, False]


def test_voc_listed_image_that_is_not_there(tmp_path):
    root = write_voc(tmp_path)
    with (root / 'ImageSets' / 'Main' / 'val.txt').open('a') as stream:
        stream.write('\nghost')
    assert found_in(root) == [('error', 'missing-image', 'val.txt', 'ghost')]


def test_voc_beside_the_images(tmp_path):
    root = write_voc(tmp_path / 'a')
    flat = tmp_path / 'flat'
    flat.mkdir()
    for path in [*root.rglob('*.xml'), *root.rglob('*.png')]:
        path.rename(flat / path.name)
    source = find_source(flat)
    assert (source.format, source.splits) == ('voc', ())
    assert len(scan(source, workers=1)[0].instances) == 1


def test_labelme_shapes_that_are_left_out(tmp_path):
    root = write_labelme(tmp_path)
    circle = {'label': 'disk', 'points': [[5, 5], [9, 9]], 'shape_type': 'circle'}
    edit(root / 'train' / 'train_0.json', lambda c: c['shapes'].append(circle))
    fault = ('warning', 'unsupported-shape', 'train_0.json', 'shape 2')
    assert found_in(root) == [fault]


def test_labelme_shape_without_points(tmp_path):
    root = write_labelme(tmp_path)
    edit(root / 'train' / 'train_1.json', lambda c: c['shapes'][0].update(points=[]))
    fault = ('error', 'bad-annotation', 'train_1.json', 'shape 1')
    assert fault in found_in(root)


def test_labelme_groups_are_one_object(tmp_path):
    root = write_labelme(tmp_path)

    def change(content):
        for shape in content['shapes']:
            shape.update(label='disk', group_id=3)

    edit(root / 'train' / 'train_1.json', change)
    record = next(
        r for r in scan(find_source(root), workers=1) if r.image.stem == 'train_1'
    )
    (instance,) = record.instances
    assert instance.box == (2, 10, 55, 44)


def test_labelme_json_that_is_cut_off(tmp_path):
    root = write_labelme(tmp_path)
    (root / 'val' / 'val_0.json').write_text('{"shapes": [')
    assert ('error', 'bad-annotation', 'val_0.json', '') in found_in(root)


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


@pytest.mark.parametrize(
    ('change', 'id'),
    [
        (lambda c: c['annotations'].append(None), 'entry 6'),
        (lambda c: c['annotations'][0].update(image_id=[1]), 'annotation 1'),
        (lambda c: c['annotations'][0].pop('image_id'), 'annotation 1'),
        (lambda c: c['annotations'][0].update(category_id={}), 'annotation 1'),
        (lambda c: c['annotations'][0].update(id=[1]), 'annotation [1]'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2, None, 4]), 'annotation 1'),
        (lambda c: c['images'][0].update(width='abc'), 'image 100'),
    ],
)
def test_coco_entries_of_the_wrong_type(tmp_path, change, id):
    root = write_coco(tmp_path)
    edit(root / 'train.json', change)
    assert ('error', 'bad-annotation', 'train.json', id) in found_in(root)


@pytest.mark.parametrize('what', ['images', 'categories', 'annotations'])
@pytest.mark.parametrize('table', ['abc', [None], [{'id': []}]])
def test_coco_tables_of_the_wrong_type(tmp_path, what, table):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c.update({what: table}))
    if what == 'annotations' and table != 'abc':
        assert ('error', 'bad-annotation') in {fault[:2] for fault in found_in(root)}
    else:
        with pytest.raises(ValueError, match=rf'train\.json: .*{what}'):
            find_source(root)


def test_coco_states_one_side_only_and_a_byte_order_mark(tmp_path):
    root = write_coco(tmp_path)
    edit(root / 'train.json', lambda c: c['images'][0].update(width=None))
    file = root / 'train.json'
    file.write_text(file.read_text(), encoding='utf-8-sig')
    assert found_in(root) == []
    text = file.read_text().replace(f'"height": {HEIGHT}', f'"height": {HEIGHT + 1}', 1)
    file.write_text(text)
    assert found_in(root) == [('error', 'size-mismatch', 'train.json', 'image 100')]


@pytest.mark.parametrize('counts', [[5, 5], [-1, 49], [48.0], ['a'], '0a20', '~', ''])
def test_coco_rle_that_is_none(counts):
    assert check_segmentation({'size': [6, 8], 'counts': counts}, 8, 6)


def test_coco_rle_of_random_masks():
    rng = np.random.default_rng(0)
    for share in (0, 0.02, 0.5, 1):
        mask = np.asfortranarray(rng.random((60, 800)) < share)
        rle = coco_mask.encode(mask.astype(np.uint8))
        rle['counts'] = rle['counts'].decode()
        assert check_segmentation(rle, 800, 60) is None


def test_coco_polygon_that_is_not_finite():
    for value in (None, 'a', float('nan'), float('inf')):
        assert check_segmentation([[1, 1, 5, 1, 5, value]], 8, 6)


def test_voc_image_in_two_splits(tmp_path):
    root = write_voc(tmp_path)
    with (root / 'ImageSets' / 'Main' / 'val.txt').open('a') as stream:
        stream.write('\ntrain_1')
    assert found_in(root) == [('error', 'in-two-splits', 'val.txt', 'train_1')]


def test_voc_trainval_without_train(tmp_path):
    root = write_voc(tmp_path)
    lists = root / 'ImageSets' / 'Main'
    names = [lists / f'{split}.txt' for split in SPLITS]
    (lists / 'trainval.txt').write_text('\n'.join(f.read_text() for f in names))
    (lists / 'train.txt').unlink()
    assert [item.split for item in find_source(root).items] == (
        ['train'] * 4 + ['val'] * 2
    )
    assert found_in(root) == []


def test_voc_image_of_another_name(tmp_path):
    root = write_voc(tmp_path)
    (root / 'JPEGImages' / 'train_1.png').rename(root / 'JPEGImages' / 'photo.png')
    replace(root / 'Annotations' / 'train_1.xml', 'train_1.png', 'photo.png')
    assert found_in(root) == []


def test_voc_size_that_is_not_finite(tmp_path):
    root = write_voc(tmp_path)
    replace(root / 'Annotations' / 'train_1.xml', f'<width>{WIDTH}', '<width>inf')
    assert found_in(root) == [('error', 'bad-annotation', 'train_1.xml', '')]


@pytest.mark.parametrize(
    ('change', 'id'),
    [
        (lambda c: c.update(shapes=None), ''),
        (lambda c: c.update(shapes={}), ''),
        (lambda c: c['shapes'][0].update(group_id=[1]), 'shape 1'),
    ],
)
def test_labelme_values_of_the_wrong_type(tmp_path, change, id):
    root = write_labelme(tmp_path)
    edit(root / 'train' / 'train_1.json', change)
    assert ('error', 'bad-annotation', 'train_1.json', id) in found_in(root)


def test_labelme_list_beside_an_image(tmp_path):
    root = write_labelme(tmp_path)
    (root / 'train' / 'train_1.json').write_text('[]')
    (root / 'train' / 'other.json').write_text('[]')
    faults = [fault for fault in found_in(root) if fault[0] == 'error']
    assert faults == [('error', 'bad-annotation', 'train_1.json', '')]


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
