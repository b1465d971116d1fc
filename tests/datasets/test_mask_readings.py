"""Numbers in masks that may mean two things, and masks of a single class."""

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image
from support.mask_writers import (
    CLASSES,
    check_labels,
    label_map,
    write_image,
    write_mask,
    write_pairs,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import find_faults
from convnext_backbone.datasets.formats.mask_options import MaskOptions
from convnext_backbone.datasets.scan import scan

CAMVID = ('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence')
CAMVID += ('car', 'pedestrian', 'bicyclist')


def write_camvid(root, names=CAMVID, *, first=0, ignored=11):
    """Masks of all classes, numbered from ``first``; pixels of a class to ignore."""
    for number in range(4):
        write_image(root / 'images' / f'{number}.jpg')
        mask = np.arange(48 * 64).reshape(48, 64) * len(CAMVID) // (48 * 64) + first
        mask[:4] = ignored
        path = root / 'masks' / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        imageio.imwrite(path, mask.astype(np.uint8))
    (root / 'classes.txt').write_text('\n'.join(names))
    return root


def expected(first=0):
    labels = np.arange(48 * 64).reshape(48, 64) * len(CAMVID) // (48 * 64) + 1
    labels[:4] = 0
    return labels


def kinds_of(source):
    return [(fault.level, fault.kind) for fault in source.faults]


def faults_of(root, **kwargs):
    source = find_source(root, **kwargs)
    faults = find_faults(source, scan(source, workers=1))
    return [(fault.level, fault.kind) for fault in faults]


@pytest.mark.parametrize(('first', 'ignored'), [(0, 11), (1, 0)])
def test_both_readings_of_as_many_numbers_and_one_more(tmp_path, first, ignored):
    source = find_source(write_camvid(tmp_path, first=first, ignored=ignored))
    (fault,) = source.faults
    assert (fault.level, fault.kind) == ('error', 'ambiguous-numbers')
    assert 'Either 0 is sky and 10 is bicyclist: 11 is ignored.' in fault.message
    assert 'Or 1 is sky and 11 is bicyclist: 0 is ignored.' in fault.message
    assert '--ignore-label 11, or a last line void' in fault.message
    assert '--ignore-label 0, or a first line void' in fault.message
    assert '0 in 4, 11 in 4 of 4 masks' in fault.message


@pytest.mark.parametrize('name', ['void', 'Unlabeled', 'ignore', '-'])
@pytest.mark.parametrize(('first', 'ignored'), [(0, 11), (1, 0)])
def test_a_name_says_which_number_is_ignored(tmp_path, name, first, ignored):
    names = (*CAMVID, name) if ignored else (name, *CAMVID)
    root = write_camvid(tmp_path, names, first=first, ignored=ignored)
    source = find_source(root)
    assert source.faults == []
    assert source.classes == CAMVID
    np.testing.assert_array_equal(source.read_labels(source.items[0])[0], expected())


@pytest.mark.parametrize(('first', 'ignored'), [(0, 11), (1, 0)])
def test_the_option_says_which_number_is_ignored(tmp_path, first, ignored):
    root = write_camvid(tmp_path, first=first, ignored=ignored)
    source = find_source(root, masks=MaskOptions(ignore_label=ignored))
    assert source.faults == []
    assert source.classes == CAMVID
    np.testing.assert_array_equal(source.read_labels(source.items[0])[0], expected())


def test_a_number_to_ignore_among_the_classes(tmp_path):
    write_pairs(tmp_path, 'index')
    for mask in (tmp_path / 'masks').rglob('*.png'):
        write_mask(mask, np.array([1, 0, 2, 3], np.uint8)[label_map(mask.stem)])
    source = find_source(tmp_path, masks=MaskOptions(ignore_label=1))
    assert source.faults == []
    check_labels(source)


def test_the_option_without_a_class_file(tmp_path):
    root = write_camvid(tmp_path)
    (root / 'classes.txt').unlink()
    source = find_source(root, masks=MaskOptions(ignore_label=11))
    assert source.classes == tuple(f'class_{i}' for i in range(11))
    np.testing.assert_array_equal(source.read_labels(source.items[0])[0], expected())


@pytest.mark.parametrize(
    ('label', 'names', 'match'),
    [
        (1, (*CAMVID, 'void'), "is the number of 'building'"),
        (300, CAMVID, 'from 0 to 255'),
        (-1, CAMVID, 'from 0 to 255'),
    ],
)
def test_options_that_contradict_the_names(tmp_path, label, names, match):
    root = write_camvid(tmp_path, names)
    with pytest.raises(ValueError, match=match):
        find_source(root, masks=MaskOptions(ignore_label=label))


def test_the_option_for_masks_in_colours(tmp_path):
    write_pairs(tmp_path, 'rgb')
    with pytest.raises(ValueError, match=r'masks are in colours.*void R G B'):
        find_source(tmp_path, masks=MaskOptions(ignore_label=3))


def test_no_number_zero_and_a_class_too_few(tmp_path):
    write_pairs(tmp_path, 'index')
    for mask in (tmp_path / 'masks').rglob('*.png'):
        write_mask(mask, np.array([255, 1, 2, 2], np.uint8)[label_map(mask.stem)])
    (fault,) = find_source(tmp_path).faults
    assert (fault.level, fault.kind) == ('error', 'ambiguous-numbers')
    assert 'building is in no mask' in fault.message
    assert 'water is in no mask' in fault.message
    for label, numbers in [(255, {1: 2, 2: 3}), (0, {1: 1, 2: 2})]:
        source = find_source(tmp_path, masks=MaskOptions(ignore_label=label))
        assert source.faults == []
        labels, _ = source.read_labels(source.items[0])
        mask = np.asarray(Image.open(source.items[0].annotation))
        for number, wanted in numbers.items():
            assert set(labels[mask == number]) == {wanted}


def test_ade20k_s_layout_with_classes_from_zero(tmp_path):
    write_pairs(tmp_path, 'ade20k')
    for mask in (tmp_path / 'annotations').rglob('*.png'):
        write_mask(mask, label_map(mask.stem) - np.uint8(1))
    assert kinds_of(find_source(tmp_path)) == [('error', 'ambiguous-numbers')]
    source = find_source(tmp_path, masks=MaskOptions(ignore_label=255))
    assert source.faults == []
    check_labels(source)
    (tmp_path / 'classes.txt').write_text('background\nroad\nwater\n')
    source = find_source(tmp_path)
    assert kinds_of(source) == [('warning', 'mask-numbers')]
    check_labels(source)


# One class: numbers of ignored pixels, background and class.
ONE = {
    '0 and 255': [0, 0, 0, 255],
    '0 and 1': [0, 0, 0, 1],
    '0 and 1, 255 ignored': [255, 0, 0, 1],
}


def write_one_class(root, kind, table, name='crack'):
    write_pairs(root, kind)
    folder = {'index': 'masks', 'ade20k': 'annotations', 'voc': 'SegmentationClass'}
    for mask in (root / folder[kind]).rglob('*.png'):
        pixels = np.array(table, np.uint8)[label_map(mask.stem)]
        imageio.imwrite(mask, pixels)
    for file in (*root.glob('classes.txt'), *root.glob('class_names.txt')):
        file.write_text(f'{name}\n')
    return root


@pytest.mark.parametrize('kind', ['index', 'ade20k', 'voc'])
@pytest.mark.parametrize('table', ONE.values(), ids=ONE)
def test_one_class_is_told_from_its_background(tmp_path, kind, table):
    root = write_one_class(tmp_path, kind, table)
    source = find_source(root)
    assert kinds_of(source) == [('warning', 'one-class')]
    assert source.classes == ('background', 'crack')
    for item in source.items:
        labels, faults = source.read_labels(item)
        assert faults == []
        truth = label_map(item.image.stem)
        np.testing.assert_array_equal(labels == 2, truth == 3)
        ignored = (truth == 0) if table[0] == 255 else np.zeros_like(truth, bool)
        np.testing.assert_array_equal(labels == 0, ignored)


@pytest.mark.parametrize('form', ['colour', 'white', 'bits'])
def test_one_class_in_other_forms(tmp_path, form):
    root = write_one_class(tmp_path, 'index', ONE['0 and 255'])
    line = {'colour': 'crack 200 10 10', 'white': 'crack,255,255,255', 'bits': 'crack'}
    (root / 'classes.txt').write_text(line[form])
    for mask in (root / 'masks').rglob('*.png'):
        pixels = np.asarray(Image.open(mask)) > 0
        if form == 'colour':
            imageio.imwrite(mask, pixels[..., None] * np.array([200, 10, 10], np.uint8))
        elif form == 'bits':
            Image.fromarray(pixels).save(mask)
    source = find_source(root)
    assert kinds_of(source) == [('warning', 'one-class')]
    assert source.classes == ('background', 'crack')
    labels, faults = source.read_labels(source.items[0])
    assert faults == []
    truth = label_map(source.items[0].image.stem)
    np.testing.assert_array_equal(labels, 1 + (truth == 3))


@pytest.mark.parametrize('first', ['index', 'ade20k'])
def test_binary_masks_without_names(tmp_path, first):
    root = write_one_class(tmp_path, first, ONE['0 and 255'])
    (root / 'classes.txt').unlink()
    source = find_source(root)
    assert kinds_of(source) == [('warning', 'binary-mask')]
    assert source.classes == ('background', 'foreground')
    labels, _ = source.read_labels(source.items[0])
    np.testing.assert_array_equal(
        labels == 2, label_map(source.items[0].image.stem) == 3
    )


@pytest.mark.parametrize('table', [[0] * 4, [1] * 4, [255, 1, 1, 1], [255] * 4])
def test_one_class_and_nothing_else(tmp_path, table):
    root = write_one_class(tmp_path, 'index', table)
    assert ('error', 'one-class') in faults_of(root)


@pytest.mark.parametrize('names', ['void\ncrack', 'crack\nvoid', 'background'])
def test_a_background_that_is_ignored_or_alone(tmp_path, names):
    root = write_one_class(tmp_path, 'index', ONE['0 and 1'], names)
    assert ('error', 'one-class') in faults_of(root)


def test_a_background_that_is_named_last(tmp_path):
    root = write_one_class(tmp_path, 'index', ONE['0 and 255'], 'crack\nbackground')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind) == ('error', 'ambiguous-numbers')
    (root / 'classes.txt').write_text('crack 255 255 255\nbackground 0 0 0\n')
    source = find_source(root)
    assert source.faults == []
    labels, _ = source.read_labels(source.items[0])
    truth = label_map(source.items[0].image.stem) == 3
    np.testing.assert_array_equal(labels, np.where(truth, 1, 2))


def test_binary_masks_and_three_names(tmp_path):
    root = write_one_class(tmp_path, 'index', ONE['0 and 255'], '\n'.join(CLASSES))
    assert kinds_of(find_source(root)) == [('error', 'ambiguous-numbers')]


@pytest.mark.parametrize('names', [None, CLASSES])
def test_grey_levels_are_not_numbers_of_classes(tmp_path, names):
    root = write_pairs(tmp_path, 'index')
    for mask in (root / 'masks').rglob('*.png'):
        levels = np.array([0, 0, 127, 255], np.uint8)
        write_mask(mask, levels[label_map(mask.stem)])
    (root / 'classes.txt').unlink()
    if names:
        (root / 'classes.txt').write_text('\n'.join(names))
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind) == ('error', 'ambiguous-numbers')
    assert '0, 127, 255' in fault.message
    lines = [f'{n} {v} {v} {v}' for n, v in zip(CLASSES, (0, 127, 255), strict=True)]
    (root / 'classes.txt').write_text('\n'.join(lines))
    source = find_source(root)
    assert source.faults == []
    labels, faults = source.read_labels(source.items[0])
    assert faults == []
    expected = label_map(source.items[0].image.stem).clip(1)
    np.testing.assert_array_equal(labels, expected)


def test_training_images_of_a_single_class(tmp_path):
    write_pairs(tmp_path, 'index')
    for mask in (tmp_path / 'masks' / 'train').glob('*.png'):
        write_mask(mask, np.zeros((48, 64), np.uint8))
    assert ('error', 'one-class') in faults_of(tmp_path)


def test_a_palette_that_contradicts_the_numbers(tmp_path):
    """Indices in another order than the class file, with a colour that it lacks."""
    write_pairs(tmp_path, 'rgb')
    lines = (tmp_path / 'classes.txt').read_text().splitlines()
    palettes = {
        'agrees': [(60, 16, 152), (132, 41, 246), (226, 169, 41)],
        'contradicts': [(132, 41, 246), (60, 16, 152), (226, 169, 41)],
    }
    (tmp_path / 'classes.txt').write_text('\n'.join(lines[:3]))
    for name, colours in palettes.items():
        palette = [value for colour in colours for value in colour]
        palette += [1, 2, 3] * 253
        for mask in (tmp_path / 'masks').rglob('*.png'):
            write_mask(mask, label_map(mask.stem) - np.uint8(1), palette)
        source = find_source(tmp_path)
        if name == 'agrees':
            check_labels(source)
            continue
        _, (fault,) = source.read_labels(source.items[0])
        assert (fault.level, fault.kind) == ('error', 'unclear-palette')


def test_a_grey_mask_among_masks_in_colours(tmp_path):
    """Programs that make files smaller write a mask with greys only as a grey one."""
    write_pairs(tmp_path, 'rgb')
    with (tmp_path / 'classes.txt').open('a') as file:
        file.write('snow 0 0 0\n')
    mask = tmp_path / 'masks' / 'val' / 'e.png'
    write_mask(mask, np.zeros((48, 64), np.uint8))
    source = find_source(tmp_path)
    item = next(item for item in source.items if item.annotation == mask)
    labels, faults = source.read_labels(item)
    assert faults == []
    assert source.classes[3] == 'snow'
    assert set(np.unique(labels)) == {4}


def test_class_files_that_disagree(tmp_path):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'labels.txt').write_text('road\nbuilding\nwater\n')
    with pytest.raises(ValueError, match='name other classes: remove'):
        find_source(tmp_path)
    rows = ('name,r,g,b', 'building,1,2,3', 'road,4,5,6', 'water,7,8,9')
    (tmp_path / 'labels.txt').unlink()
    (tmp_path / 'class_dict.csv').write_text('\n'.join(rows))
    source = find_source(tmp_path)
    assert source.palette == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    check_labels(source)
