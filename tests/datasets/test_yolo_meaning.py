"""YOLO labels whose numbers may mean several things, and CVAT's layout."""

import numpy as np
import pytest
import yaml
from support.data_faults import found_in, replace
from support.dataset_writers import CLASSES, HEIGHT, WIDTH, write_yolo

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import class_names
from convnext_backbone.datasets.scan import scan

BOX = '0 0.5 0.5 0.4 0.6'


def set_lines(root, *lines):
    """Write the labels of every image anew."""
    for file in (root / 'labels').rglob('*.txt'):
        file.write_text('\n'.join(lines))
    return root


def state(root, **values):
    file = root / 'data.yaml'
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **values}))
    return root


def instances(root):
    return [i for r in scan(find_source(root), workers=1) for i in r.instances]


def keypoints(rng, count, each):
    """Keypoints in the box of BOX, some of them not labelled."""
    points = np.column_stack(
        [rng.uniform(0.3, 0.7, count), rng.uniform(0.2, 0.8, count)]
    ).round(4)
    seen = rng.integers(0, 3, count)
    points[seen == 0] = 0
    rows = np.column_stack([points, seen]) if each == 3 else points
    return ' '.join(f'{value:g}' for value in rows.ravel())


@pytest.mark.parametrize('shape', [[17, 3], [4, 2], [1, 3], [5, 3], [1, 2]])
def test_the_boxes_of_a_pose_data_set_are_read(tmp_path, shape):
    rng = np.random.default_rng(0)
    root = state(write_yolo(tmp_path), kpt_shape=shape)
    set_lines(root, f'{BOX} {keypoints(rng, *shape)}', BOX)
    wanted = (0.3 * WIDTH, 0.2 * HEIGHT, 0.7 * WIDTH, 0.8 * HEIGHT)
    for instance in instances(root):
        np.testing.assert_allclose(instance.box, wanted, atol=1e-4)
        assert instance.segmentation is None
    faults = found_in(root)
    assert ('warning', 'keypoints', 'data.yaml', '') in faults
    assert not [fault for fault in faults if fault[0] == 'error']


@pytest.mark.parametrize(
    'line',
    [
        f'{BOX} 0.4 0.4 2 0.5 0.5 2 0.9',  # a confidence after the keypoints
        f'{BOX} 0.4 0.4 2 0.5 0.5',  # a number is missing
        f'{BOX} 0.4 0.4 nan 0.5 0.5 2',
        f'{BOX} 0.9',
        '0 0.1 0.1 0.2 0.1 0.2 0.2',  # a polygon
    ],
)
def test_lines_that_are_no_pose(tmp_path, line):
    root = state(write_yolo(tmp_path), kpt_shape=[2, 3])
    set_lines(root, line)
    faults = {fault[:2] for fault in found_in(root)}
    assert ('error', 'bad-annotation') in faults
    assert instances(root) == []


@pytest.mark.parametrize('shape', [17, [17], [17, 4], [0, 2], ['17', 3], 'a'])
def test_a_keypoint_shape_that_is_none(tmp_path, shape):
    root = state(write_yolo(tmp_path), kpt_shape=shape)
    with pytest.raises(ValueError, match=r'data\.yaml: kpt_shape is'):
        find_source(root)


@pytest.mark.parametrize('shape', [(4, 2), (3, 2), (2, 3)])
def test_keypoints_without_their_shape_are_told(tmp_path, shape):
    rng = np.random.default_rng(1)
    root = write_yolo(tmp_path)
    for file in (root / 'labels').rglob('*.txt'):
        x, y, w, h = 0.8, 0.2, 0.2, 0.3
        points = rng.uniform((x - w / 2, y - h / 2), (x + w / 2, y + h / 2), (4, 2))
        values = points[: shape[0]].round(4)
        if shape[1] == 3:
            values = np.column_stack([values, rng.integers(0, 2, shape[0])])
        row = (0, x, y, w, h, *values.ravel())
        file.write_text(' '.join(map(str, row)))
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind) == ('error', 'keypoints')
    assert f'kpt_shape: {list(shape)}' in fault.message


@pytest.mark.parametrize('size', [0.01, 0.1, 0.6])
def test_polygons_are_not_taken_for_keypoints(tmp_path, size):
    """Turned boxes (YOLO's OBB), wherever and however large."""
    rng = np.random.default_rng(2)
    root = write_yolo(tmp_path)
    for file in (root / 'labels').rglob('*.txt'):
        x, y = rng.uniform(size / 2, 1 - size / 2, 2)
        angles = rng.uniform(0, 2 * np.pi) + np.arange(4) * np.pi / 2
        points = np.column_stack([x + size / 2 * np.cos(angles)])
        points = np.column_stack([points, y + size / 2 * np.sin(angles)]).clip(0, 1)
        file.write_text(' '.join(map(str, (0, *points.ravel().round(5)))))
    assert find_source(root).faults == []
    assert all(len(i.segmentation[0]) == 8 for i in instances(root))


def test_a_confidence_after_a_box_is_left_out_and_told(tmp_path):
    root = set_lines(write_yolo(tmp_path), f'{BOX} 0.87')
    wanted = (0.3 * WIDTH, 0.2 * HEIGHT, 0.7 * WIDTH, 0.8 * HEIGHT)
    for instance in instances(root):
        np.testing.assert_allclose(instance.box, wanted, atol=1e-4)
    assert ('warning', 'confidence', 'train_0.txt', 'line 1') in found_in(root)


@pytest.mark.parametrize(
    'line',
    [
        f'{BOX} 7',  # the number of a track
        '0 0.1 0.1 0.3 0.1 0.3 0.3 0.9',  # a polygon and a confidence
        '0 0.1 0.1',
        '0 nan 0.5 0.1 0.1',
        '0 0.5 0.5 inf 0.1',
        '0 0.1 0.1 0.3 nan 0.3 0.3',
        '0 32 24 10 12',  # pixels
        '0 10 10 30 10 30 30',
        '0 0.1 0.1 0.3 0.1 1.4 0.3',
        '0 0.1 0.1 0.3 0.1 0.3 -0.3',
    ],
)
def test_numbers_that_are_no_object(tmp_path, line):
    root = set_lines(write_yolo(tmp_path), line)
    faults = found_in(root)
    assert ('error', 'bad-annotation', 'train_0.txt', 'line 1') in faults
    assert instances(root) == []


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('names: [yes, no]', ('yes', 'no')),
        ('names:\n- on\n- off', ('on', 'off')),
        ('names: {0: Yes, 1: NO}', ('Yes', 'NO')),
        ('names: [1.10, 012]', ('1.10', '012')),
        ('names: [null, ~]', ('null', '~')),
        ('names: [2024-01-01, y]', ('2024-01-01', 'y')),
    ],
)
def test_names_are_text_as_it_is_written(tmp_path, text, names):
    root = write_yolo(tmp_path)
    (root / 'data.yaml').write_text(f'train: images/train\nval: images/val\n{text}\n')
    source = find_source(root)
    assert source.classes == names
    assert class_names(source, []) == names


@pytest.mark.parametrize(
    ('values', 'match'),
    [
        ({'nc': 3}, 'nc is 3, but names has 2'),
        ({'names': ['box', ['disk']]}, 'expected text'),
        ({'names': ['box', '']}, 'expected text'),
    ],
)
def test_a_config_that_contradicts_itself(tmp_path, values, match):
    root = state(write_yolo(tmp_path), **values)
    with pytest.raises(ValueError, match=match):
        find_source(root)


def test_two_configs_with_other_names(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'old.yaml').write_text('names: [disk, box]')
    with pytest.raises(ValueError, match=r'data\.yaml and .*old\.yaml'):
        find_source(root)


def test_a_list_of_names_that_differs_from_the_config(tmp_path):
    """LabelImg writes classes.txt, in its own order, beside the labels."""
    root = write_yolo(tmp_path)
    (root / 'labels' / 'classes.txt').write_text('disk\nbox\n')
    assert found_in(root) == [('warning', 'names-differ', 'classes.txt', '')]
    (root / 'labels' / 'classes.txt').write_text('box\ndisk\n')
    assert found_in(root) == []


def write_cvat(root, prefix='data/'):
    """The layout of CVAT's YOLO 1.1."""
    old = write_yolo(root / 'old')
    pairs = {'classes': len(CLASSES), 'names': f'{prefix}obj.names'}
    for split, key in (('train', 'train'), ('val', 'valid')):
        folder = root / 'cvat' / f'obj_{key}_data'
        folder.mkdir(parents=True)
        names = []
        for image in sorted((old / 'images' / split).iterdir()):
            label = old / 'labels' / split / f'{image.stem}.txt'
            names.append(f'{prefix}{folder.name}/{image.name}')
            image.rename(folder / image.name)
            label.rename(folder / label.name)
        (root / 'cvat' / f'{key}.txt').write_text('\n'.join(names))
        pairs[key] = f'{prefix}{key}.txt'
    lines = [f'{key} = {value}' for key, value in pairs.items()]
    (root / 'cvat' / 'obj.data').write_text('\n'.join([*lines, 'backup = backup/']))
    (root / 'cvat' / 'obj.names').write_text('\n'.join(CLASSES))
    return root / 'cvat'


@pytest.mark.parametrize('prefix', ['data/', '', 'build/'])
@pytest.mark.parametrize('place', ['here', 'images/here'])
def test_cvat_s_layout(tmp_path, prefix, place):
    root = tmp_path / place
    root.mkdir(parents=True)
    root = write_cvat(root, prefix)
    assert found_in(root) == []
    source = find_source(root)
    assert (source.format, source.classes) == ('yolo', CLASSES)
    records = scan(source, workers=1)
    assert [record.split for record in records] == ['train'] * 4 + ['val'] * 2
    wanted = scan(find_source(write_yolo(tmp_path / 'again')), workers=1)
    for record, other in zip(records, wanted, strict=True):
        assert [i.category for i in record.instances] == [
            i.category for i in other.instances
        ]
        assert [i.box for i in record.instances] == [i.box for i in other.instances]


def test_cvat_s_export_without_images(tmp_path):
    root = write_cvat(tmp_path)
    for image in (root / 'obj_train_data').glob('*.png'):
        image.unlink()
    missing = [f for f in found_in(root) if f[1] == 'missing-image']
    assert [fault[2:] for fault in missing] == [
        ('train.txt', f'line {i}') for i in range(1, 5)
    ]


@pytest.mark.parametrize(
    ('old', 'new', 'match'),
    [
        ('classes = 2', 'classes = 3', 'classes is 3, but .* has 2 names'),
        ('obj.names', 'no.names', 'which is not there'),
    ],
)
def test_cvat_s_file_that_contradicts_itself(tmp_path, old, new, match):
    root = write_cvat(tmp_path)
    replace(root / 'obj.data', old, new)
    with pytest.raises(ValueError, match=match):
        find_source(root)
