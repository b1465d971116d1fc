from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from convnext_backbone.datasets.records import Instance, Record
from convnext_backbone.datasets.splits import make_splits


def record(number, *categories, split='', thumbnail=None):
    instances = [Instance(name, (0, 0, 9, 9)) for name in categories]
    return Record(
        Path(f'{number}.png'), split, instances=instances, thumbnail=thumbnail
    )


def long_tailed():
    records = [record(i, 'often') for i in range(80)]
    records += [record(100 + i, 'often', 'rare') for i in range(15)]
    return records + [record(200 + i, 'scarce') for i in range(5)]


def counts(records):
    found = {'train': Counter(), 'val': Counter()}
    for entry in records:
        found[entry.split].update({i.category for i in entry.instances})
    return found


def test_divides_every_class_alike():
    records = long_tailed()
    assert make_splits(records, seed=0)
    assert Counter(r.split for r in records) == {'train': 80, 'val': 20}
    assert counts(records)['val'] == {'often': 19, 'rare': 3, 'scarce': 1}


def test_a_class_of_one_image_is_trained():
    records = [record(i, 'often') for i in range(20)] + [record(99, 'once')]
    make_splits(records, seed=0)
    assert records[-1].split == 'train'


def test_the_seed_decides():
    splits = []
    for seed in (0, 0, 1):
        records = long_tailed()
        make_splits(records, seed)
        splits.append([r.split for r in records])
    assert splits[0] == splits[1] != splits[2]


def test_a_data_set_with_validation_stays_as_it_is():
    records = [record(0, 'a', split='train'), record(1, 'a', split='val')]
    assert not make_splits(records, seed=0)
    assert [r.split for r in records] == ['train', 'val']


def test_test_images_stay_test_images():
    records = [record(i, 'a', split='train') for i in range(10)]
    records += [record(i, 'a', split='test') for i in range(10, 20)]
    make_splits(records, seed=0)
    assert Counter(r.split for r in records) == {'train': 8, 'val': 2, 'test': 10}


def test_segmentation_is_divided_by_its_labels():
    records = [Record(Path(f'{i}.png'), '', pixels={1: 50}) for i in range(20)]
    for entry in records[:10]:
        entry.pixels = {0: 10, 2: 40}
    make_splits(records, seed=3)
    val = [r for r in records if r.split == 'val']
    assert Counter(2 in r.pixels for r in val) == {True: 2, False: 2}


def test_twins_stay_on_one_side():
    rng = np.random.default_rng(0)
    thumbnails = [rng.integers(0, 256, (16, 16), np.uint8) for _ in range(10)]
    for seed in range(5):
        records = [record(i, 'a', thumbnail=thumbnails[i]) for i in range(10)]
        records += [record(10, 'a', thumbnail=thumbnails[3])]
        make_splits(records, seed)
        assert records[3].split == records[10].split
        assert Counter(r.split for r in records)['val'] == 2


def test_films_stay_on_one_side():
    rng = np.random.default_rng(0)
    films = rng.integers(0, 256, (10, 16, 16), np.uint8)
    records = [record(i, 'a', thumbnail=films[i // 5]) for i in range(50)]
    make_splits(records, seed=0)
    sides = [{r.split for r in records[5 * k : 5 * k + 5]} for k in range(10)]
    assert all(len(side) == 1 for side in sides)
    assert sides.count({'val'}) == 2


def test_one_film_alone_is_divided_all_the_same():
    thumbnail = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    records = [record(i, 'a', thumbnail=thumbnail) for i in range(10)]
    make_splits(records, seed=0)
    assert Counter(r.split for r in records) == {'train': 8, 'val': 2}


def test_no_class_loses_its_last_training_image():
    for seed in range(10):
        records = [record(i, f'class {i // 2}') for i in range(40)]
        records += [record(99, 'once')]
        make_splits(records, seed)
        trained = counts(records)['train']
        assert len(trained) == 21
        assert Counter(r.split for r in records)['val'] == 8


@pytest.mark.parametrize('objects', [2, 3, 5])
@pytest.mark.parametrize('backgrounds', [1, 3, 4, 9])
def test_few_objects_are_not_all_for_training(objects, backgrounds):
    for seed in range(5):
        records = [record(i, 'car') for i in range(objects)]
        records += [record(100 + i) for i in range(backgrounds)]
        make_splits(records, seed)
        found = counts(records)
        assert min(found['train']['car'], found['val']['car']) >= 1
