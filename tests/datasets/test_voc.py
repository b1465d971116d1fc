"""Detection data in VOC's format: its layouts, and each fault."""

import pytest
from support.data_faults import found_in, replace
from support.dataset_writers import (
    SPLITS,
    WIDTH,
    write_voc,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.scan import scan


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


@pytest.mark.parametrize('name', ['train_2.png', 'val_0.jpg', r'C:\old\train_3.bmp'])
def test_voc_filename_of_another_image(tmp_path, name):
    root = write_voc(tmp_path)
    replace(root / 'Annotations' / 'train_1.xml', 'train_1.png', name)
    faults = found_in(root)
    assert ('error', 'other-name', 'train_1.xml', '') in faults
    assert {fault[1] for fault in faults if fault[0] == 'error'} == {'other-name'}


@pytest.mark.parametrize('name', ['IMG_0042.jpg', '/home/a/photo.png', 'unknown'])
def test_voc_filename_of_no_image(tmp_path, name):
    root = write_voc(tmp_path)
    replace(root / 'Annotations' / 'train_1.xml', 'train_1.png', name)
    assert found_in(root) == [('warning', 'other-name', 'train_1.xml', '')]
    assert len(scan(find_source(root), workers=1)[1].instances) == 2


@pytest.mark.parametrize(
    ('text', 'crowd'), [('true', True), ('Unspecified', False), ('', False)]
)
def test_voc_difficult_in_words(tmp_path, text, crowd):
    root = write_voc(tmp_path)
    file = root / 'Annotations' / 'train_1.xml'
    replace(file, '<difficult>0', f'<difficult>{text}')
    record = scan(find_source(root), workers=1)[1]
    assert [i.crowd for i in record.instances] == [crowd, False]


def test_voc_difficult_that_is_unclear(tmp_path):
    root = write_voc(tmp_path)
    file = root / 'Annotations' / 'train_1.xml'
    replace(file, '<difficult>0', '<difficult>2')
    assert found_in(root) == [('error', 'bad-annotation', 'train_1.xml', 'object 1')]
