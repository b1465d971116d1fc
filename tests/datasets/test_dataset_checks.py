from pathlib import Path

import numpy as np
import pytest

from convnext_backbone.datasets.checks import class_names, find_faults
from convnext_backbone.datasets.records import Fault, Instance, Record, Source
from convnext_backbone.datasets.statistics import render, statistics


def source(task='det', classes=('cat', 'dog'), faults=()):
    return Source('coco', task, Path('data'), [], classes, faults=list(faults))


def record(split, *categories, pixels=None, thumbnail=None, size=(64, 48)):
    boxes = ((0, 0, 10, 10), (0, 0, 40, 20), (0, 0, 100, 100))
    instances = [
        Instance(name, boxes[i % 3], f'annotation {i}')
        for i, name in enumerate(categories)
    ]
    return Record(
        Path(f'{split}.png'), split, *size, instances, pixels or {}, [], thumbnail
    )


def kinds(*args, **kwargs):
    return [(f.level, f.kind, f.id) for f in find_faults(*args, **kwargs)]


def test_clean_data_has_no_faults():
    records = [record('train', 'cat', 'dog'), record('val', 'cat', 'dog')]
    assert kinds(source(), records) == []


def test_errors_come_first_and_none_is_lost():
    of_layout = Fault('warning', 'class-names', 'data', 'made up')
    records = [record('train', 'cat', 'dog'), record('val', 'cat')]
    records[1].faults.append(Fault('error', 'size-mismatch', 'val.png', 'is 3x4'))
    found = find_faults(source(faults=[of_layout]), records)
    assert [fault.kind for fault in found] == ['size-mismatch', 'class-names']


def test_a_class_that_only_validation_has():
    records = [record('train', 'cat'), record('val', 'cat', 'dog')]
    assert kinds(source(), records) == [('warning', 'class-only-in-val', 'dog')]


def test_a_class_that_nothing_has():
    records = [record('train', 'cat'), record('val', 'cat')]
    assert kinds(source(), records) == [('warning', 'class-without-objects', 'dog')]


def test_classes_that_differ_in_case():
    records = [record('train', 'cat', 'Cat ')]
    found = kinds(source(classes=None), records)
    assert found == [
        ('warning', 'similar-classes', 'Cat '),
        ('warning', 'similar-classes', 'cat'),
    ]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_split_without_objects(split):
    records = [record('train', 'cat', 'dog'), record('val', 'cat', 'dog')]
    records[split == 'val'].instances = []
    assert ('error', 'empty-split', split) in kinds(source(), records)


def test_no_image_to_train_on():
    records = [record('val', 'cat', 'dog')]
    assert ('error', 'empty-split', 'train') in kinds(source(), records)


def test_no_image_at_all():
    assert ('error', 'empty-split', '') in kinds(source(), [])


def test_test_images_need_no_objects():
    records = [record('train', 'cat', 'dog'), record('test')]
    assert kinds(source(), records) == []


def test_all_pixels_ignored_is_nothing_to_learn():
    records = [record('train', pixels={0: 99}), record('val', pixels={0: 9, 1: 90})]
    assert ('error', 'empty-split', 'train') in kinds(source('seg', ('cat',)), records)


def test_classes_in_another_order():
    records = [record('train', 'cat', 'dog')]
    assert kinds(source(), records, ['dog', 'cat']) == [('warning', 'class-order', '')]


def test_classes_that_the_data_has_not():
    records = [record('train', 'cat', 'dog')]
    found = kinds(source(), records, ['cat', 'dog', 'cow'])
    assert ('error', 'unknown-class', 'cow') in found


def test_classes_left_out():
    records = [record('train', 'cat', 'dog')]
    found = kinds(source(), records, ['cat'])
    assert found == [('warning', 'left-out-class', '')]


def test_a_class_named_twice():
    records = [record('train', 'cat', 'dog')]
    assert ('error', 'unknown-class', '') in kinds(
        source(), records, ['cat', 'cat', 'dog']
    )


def test_validation_like_training():
    thumbnail = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    records = [record(s, 'cat', 'dog', thumbnail=thumbnail) for s in ('train', 'val')]
    assert kinds(source(), records) == [('warning', 'near-duplicate', '')]


def test_classes_of_annotations_are_sorted():
    records = [record('train', 'dog'), record('val', 'cat')]
    assert class_names(source(classes=None), records) == ('cat', 'dog')


def test_counts_objects_by_class_and_split():
    records = [record('train', 'cat', 'cat', 'dog'), record('train'), record('val')]
    records[0].instances[1].crowd = True
    numbers = statistics(source(), records)
    train = numbers['splits']['train']
    assert train['per_class'] == {'cat': 1, 'dog': 1}
    assert (train['images'], train['empty'], train['objects']) == (2, 1, 2)
    assert numbers['areas'] == {'small': 2, 'medium': 0, 'large': 1}
    assert numbers['image_size']['aspect'] == [1.333] * 5
    assert numbers['box_aspect'] == [1, 1, 1, 1.5, 2]


def test_counts_pixels_by_class():
    records = [record('train', pixels={0: 50, 1: 25, 2: 25}), record('train')]
    train = statistics(source('seg'), records)['splits']['train']
    assert train['pixel_share'] == {'cat': 0.25, 'dog': 0.25}
    assert train['ignored_share'] == 0.5
    assert train['per_class'] == {'cat': 1, 'dog': 1}


def test_text_names_faults_with_file_and_id():
    records = [record('train', 'cat', 'dog')]
    records[0].faults = [
        Fault('error', 'box-outside', f'{i}.xml', 'lies outside', f'object {i}')
        for i in range(7)
    ]
    text = render(statistics(source(), records), find_faults(source(), records))
    assert 'error: box-outside (7)' in text
    assert '0.xml, object 0: lies outside' in text
    assert '... and 2 more' in text
    assert text.endswith('7 errors, 0 warnings')


def test_text_of_segmentation():
    records = [record('train', pixels={1: 75, 2: 25})]
    text = render(statistics(source('seg'), records), [])
    assert '75.0% in 1' in text
    assert text.endswith('No faults found.')
