"""Detection data in LabelMe's format: its layouts, and each fault."""

import pytest
from support.data_faults import edit, found_in
from support.dataset_writers import (
    write_labelme,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.scan import scan


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
