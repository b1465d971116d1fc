"""Detection data in COCO's format: its layouts, and each fault."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from support.data_faults import edit, found_in
from support.dataset_writers import (
    HEIGHT,
    SPLITS,
    write_coco,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.formats.coco_segmentation import check_segmentation


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
