"""How numbers and colours in masks become classes."""

import numpy as np
import pytest
from PIL import Image
from support.mask_writers import (
    CLASSES,
    PALETTE,
    VOID,
    check_labels,
    label_map,
    write_mask,
    write_pairs,
)

from convnext_backbone.datasets.formats import ade20k, masks, voc_masks


@pytest.mark.parametrize('form', ['P', 'I;16', 'grey RGB', 'LA'])
def test_forms_of_index_masks(tmp_path, form):
    write_pairs(tmp_path, 'index')
    for mask in (tmp_path / 'masks').rglob('*.png'):
        numbers = np.asarray(Image.open(mask))
        if form == 'P':
            write_mask(mask, numbers, [9, 9, 9, 200, 0, 0])
        elif form == 'I;16':
            write_mask(mask, numbers.astype(np.uint16))
        elif form == 'LA':
            Image.fromarray(numbers).convert('LA').save(mask)
        else:
            write_mask(mask, np.stack([numbers] * 3, axis=2))
    source = masks.find(tmp_path)
    assert source.faults == []
    check_labels(source)


def renumber(root, table):
    """Write other numbers for ignored pixels and classes 0 to 2."""
    for mask in (root / 'masks').rglob('*.png'):
        write_mask(mask, np.array(table, np.uint8)[label_map(mask.stem)])


def test_classes_numbered_from_one(tmp_path):
    renumber(write_pairs(tmp_path, 'index'), [255, 1, 2, 3])
    source = masks.find(tmp_path)
    (fault,) = source.faults
    assert (fault.level, fault.kind) == ('warning', 'mask-numbers')
    assert '1 to 3 in the masks are taken for the 3 classes' in fault.message
    assert source.classes == CLASSES
    check_labels(source)


def test_no_mask_with_the_number_of_the_background(tmp_path):
    renumber(write_pairs(tmp_path, 'index'), [255, 1, 2, 2])
    (tmp_path / 'classes.txt').write_text('background\nroad\nwater\n')
    (fault,) = masks.find(tmp_path).faults
    assert (fault.level, fault.kind) == ('warning', 'mask-numbers')
    assert 'no mask has the number 0, which is taken for background' in fault.message


@pytest.mark.parametrize(
    ('names', 'table'),
    [
        (('unlabeled', *CLASSES), [0, 1, 2, 3]),
        ((*CLASSES, 'void'), [3, 0, 1, 2]),
        (('building', 'Unknown', 'road', 'water'), [1, 0, 2, 3]),
        (('__ignore__', *CLASSES), [255, 0, 1, 2]),
        ((*CLASSES, '-'), [3, 0, 1, 2]),
        (('-', 'building', '-', 'road', 'water'), [2, 1, 3, 4]),
    ],
)
def test_named_ignored_class(tmp_path, names, table):
    renumber(write_pairs(tmp_path, 'index'), table)
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    source = masks.find(tmp_path)
    assert source.classes == CLASSES
    assert source.faults == []
    check_labels(source)


def test_grey_colours(tmp_path):
    renumber(write_pairs(tmp_path, 'index'), [200, 0, 127, 255])
    lines = ('water 255 255 255', 'building 0 0 0', 'road 127 127 127')
    (tmp_path / 'classes.txt').write_text('\n'.join((*lines, 'void 200 200 200')))
    source = masks.find(tmp_path)
    assert source.classes == ('water', 'building', 'road')
    labels, faults = source.read_labels(source.items[0])
    assert faults == source.faults == []
    stem = source.items[0].image.stem
    np.testing.assert_array_equal(labels, np.array([0, 2, 3, 1])[label_map(stem)])


def test_names_are_made_up_without_a_class_file(tmp_path):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'classes.txt').unlink()
    source = masks.find(tmp_path)
    assert source.classes == ('class_0', 'class_1', 'class_2')
    (fault,) = source.faults
    assert (fault.level, fault.kind) == ('warning', 'class-names')
    assert 'numbers up to 2' in fault.message
    assert 'classes.txt' in fault.message
    check_labels(source)


@pytest.mark.parametrize('names', [None, ('sky', 'crack')])
def test_binary_masks(tmp_path, names):
    renumber(write_pairs(tmp_path, 'index'), [0, 255, 255, 255])
    if names:
        (tmp_path / 'classes.txt').write_text('\n'.join(names))
    else:
        (tmp_path / 'classes.txt').unlink()
    source = masks.find(tmp_path)
    assert source.classes == (names or ('background', 'foreground'))
    (fault,) = source.faults
    assert (fault.level, fault.kind) == ('warning', 'binary-mask')
    labels, faults = source.read_labels(source.items[0])
    assert faults == []
    expected = 1 + (label_map(source.items[0].image.stem) > 0)
    np.testing.assert_array_equal(labels, expected)


def test_colours_without_a_class_file(tmp_path):
    write_pairs(tmp_path, 'rgb')
    (tmp_path / 'classes.txt').unlink()
    with pytest.raises(ValueError, match=r'in colours.*name R G B'):
        masks.find(tmp_path)


def test_too_many_classes(tmp_path):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'classes.txt').write_text('\n'.join(f'c{i}' for i in range(255)))
    with pytest.raises(ValueError, match='255 classes, at most 254'):
        masks.find(tmp_path)
    (tmp_path / 'classes.txt').unlink()
    write_mask(tmp_path / 'masks' / 'train' / 'a.png', np.full((48, 64), 900, 'u2'))
    with pytest.raises(ValueError, match='901 classes, at most 254'):
        masks.find(tmp_path)


def test_most_classes_possible(tmp_path):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'classes.txt').unlink()
    numbers = np.arange(48 * 64).reshape(48, 64) % 254
    write_mask(tmp_path / 'masks' / 'train' / 'a.png', numbers.astype(np.uint8))
    source = masks.find(tmp_path)
    assert len(source.classes) == 254
    item = next(item for item in source.items if item.image.stem == 'a')
    labels, faults = source.read_labels(item)
    assert faults == []
    np.testing.assert_array_equal(labels, numbers + 1)


def test_ade20k_without_names(tmp_path):
    write_pairs(tmp_path, 'ade20k')
    (tmp_path / 'classes.txt').unlink()
    source = ade20k.find(tmp_path)
    assert source.classes == ('class_1', 'class_2', 'class_3')
    assert [fault.kind for fault in source.faults] == ['class-names']
    check_labels(source)


def test_ade20k_with_a_name_for_zero(tmp_path):
    write_pairs(tmp_path, 'ade20k')
    (tmp_path / 'classes.txt').write_text('\n'.join(('void', *CLASSES)))
    source = ade20k.find(tmp_path)
    assert source.classes == CLASSES
    check_labels(source)


@pytest.mark.parametrize('sign', ['objectInfo150.txt', '150 numbers'])
def test_ade20k_itself(tmp_path, sign):
    write_pairs(tmp_path, 'ade20k')
    (tmp_path / 'classes.txt').unlink()
    if sign == 'objectInfo150.txt':
        (tmp_path / sign).touch()
    else:
        mask = tmp_path / 'annotations' / 'training' / 'a.png'
        write_mask(mask, np.full((48, 64), 150, np.uint8))
    source = ade20k.find(tmp_path)
    assert source.classes[:2] == ('wall', 'building')
    assert source.classes[-1] == 'flag'
    assert len(source.classes) == 150
    assert source.palette[0] == (120, 120, 120)
    made_up = [fault.kind for fault in source.faults]
    assert made_up == ([] if sign == 'objectInfo150.txt' else ['class-names'])


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
BORDER = (224, 224, 192)


@pytest.mark.parametrize('colours', [False, True])
def test_voc_itself(tmp_path, colours):
    write_pairs(tmp_path, 'voc')
    (tmp_path / 'class_names.txt').unlink()
    for mask in (tmp_path / 'SegmentationClass').iterdir():
        labels = label_map(mask.stem)
        if colours:
            write_mask(mask, np.array([BORDER, *VOC], np.uint8)[labels])
        else:
            palette = [value for colour in VOC for value in colour]
            palette += [0] * (765 - len(palette)) + list(BORDER)
            write_mask(mask, labels - np.uint8(1), palette)
    source = voc_masks.find(tmp_path)
    assert source.classes[:3] == ('background', 'aeroplane', 'bicycle')
    assert len(source.classes) == 21
    assert source.palette[1] == (128, 0, 0)
    assert source.faults == []
    check_labels(source)


def test_voc_s_layout_with_other_classes_is_told(tmp_path):
    write_pairs(tmp_path, 'voc')
    (tmp_path / 'class_names.txt').unlink()
    (fault,) = voc_masks.find(tmp_path).faults
    assert (fault.level, fault.kind) == ('warning', 'class-names')
    assert '1 is aeroplane' in fault.message
    assert 'classes.txt' in fault.message


@pytest.mark.parametrize('first', ['background', 'sky'])
def test_a_stray_number_does_not_shift_the_classes(tmp_path, first):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'classes.txt').write_text(f'{first}\nroad\nwater\n')
    stray = tmp_path / 'masks' / 'train' / 'b.png'
    numbers = np.array(Image.open(stray))
    numbers[0, 0] = 3
    write_mask(stray, numbers)
    source = masks.find(tmp_path)
    warned = [(fault.level, fault.kind) for fault in source.faults]
    assert warned == ([] if first == 'background' else [('error', 'ambiguous-numbers')])
    assert all('3 in 1, 255 in 5 of 5 masks' in f.message for f in source.faults)
    for item in source.items:
        labels, faults = source.read_labels(item)
        np.testing.assert_array_equal(labels, label_map(item.image.stem))
        wrong = ['label-above-classes'] if item.annotation == stray else []
        assert [fault.kind for fault in faults] == wrong


@pytest.mark.parametrize('palette', ['of classes', 'other', 'grey'])
def test_palette_of_masks_with_named_colours(tmp_path, palette):
    write_pairs(tmp_path, 'rgb')
    for path in (tmp_path / 'masks').rglob('*.png'):
        if palette == 'of classes':  # in another order, as optimisers do
            colours = [value for c in (PALETTE[1], PALETTE[0], VOID) for value in c]
            order = np.array([2, 1, 0, 3], np.uint8)
            write_mask(path, order[label_map(path.stem)], [*colours, *PALETTE[2]])
        else:
            values = [i for i in range(256) for _ in range(3)]
            numbers = (label_map(path.stem) - 1) % 4
            write_mask(
                path,
                np.where(numbers == 255, 3, numbers).astype(np.uint8),
                values if palette == 'grey' else [9, 9, 9, 200, 0, 0],
            )
    check_labels(masks.find(tmp_path))
