import pickle
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from support.mask_writers import (
    CLASSES,
    IMAGES,
    PALETTE,
    check_labels,
    coloured,
    label_map,
    write_image,
    write_mask,
    write_pairs,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import find_faults
from convnext_backbone.datasets.formats import ade20k, mask_numbers, masks, voc_masks
from convnext_backbone.datasets.formats.class_files import ClassEntry
from convnext_backbone.datasets.formats.mask_files import read_labels
from convnext_backbone.datasets.formats.mask_legend import make_legend
from convnext_backbone.datasets.records import Item
from convnext_backbone.datasets.scan import scan

FINDERS = {'index': masks, 'rgb': masks, 'ade20k': ade20k, 'voc': voc_masks}


def faults_of(source):
    """All faults, of the layout and of every mask: kind -> faults."""
    faults = list(source.faults)
    for item in source.items:
        faults += source.read_labels(item)[1]
    kinds = {}
    for fault in faults:
        kinds.setdefault((fault.level, fault.kind), []).append(fault)
    return kinds


@pytest.mark.parametrize('kind', FINDERS)
def test_forms_agree(tmp_path, kind):
    source = FINDERS[kind].find(write_pairs(tmp_path, kind))
    assert (source.task, source.root) == ('seg', tmp_path)
    assert source.format == {'voc': 'voc-masks', 'ade20k': kind}.get(kind, 'masks')
    assert source.classes == CLASSES
    assert source.palette == (list(PALETTE) if kind == 'rgb' else None)
    assert source.faults == []
    splits = {item.image.stem: item.split for item in source.items}
    assert splits == {name: split for split in IMAGES for name in IMAGES[split]}
    check_labels(source)


@pytest.mark.parametrize('kind', ['index', 'rgb', 'voc'])
def test_without_splits(tmp_path, kind):
    source = FINDERS[kind].find(write_pairs(tmp_path, kind, splits=False))
    assert {item.split for item in source.items} == {''}
    assert source.faults == []
    check_labels(source)


def test_reader_serves_another_process(tmp_path):
    source = masks.find(write_pairs(tmp_path, 'rgb'))
    source.read_labels = pickle.loads(pickle.dumps(source.read_labels))
    check_labels(source)


@pytest.mark.parametrize('kind', FINDERS)
def test_a_layout_has_one_format(tmp_path, kind):
    write_pairs(tmp_path, kind)
    for module in (masks, ade20k, voc_masks):
        assert (module.find(tmp_path) is None) == (module is not FINDERS[kind])


@pytest.mark.parametrize('module', [masks, ade20k, voc_masks])
def test_other_data(tmp_path, module):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'labels').mkdir()
    write_image(tmp_path / 'images' / 'a.jpg')
    (tmp_path / 'labels' / 'a.txt').write_text('0 .5 .5 .1 .1\n')
    (tmp_path / 'train.json').write_text('{}')
    assert module.find(tmp_path) is None
    assert module.find(tmp_path / 'train.json') is None


def move(root, moves):
    for old, new in moves.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / old, root / new)


@pytest.mark.parametrize(
    'moves',
    [
        {'images': 'Images', 'masks': 'labels'},
        {'images': 'imgs', 'masks': 'annotations'},
        {'images': 'img', 'masks': 'gt'},
        {'images': 'image', 'masks': 'labels_png'},
        {'images/val': 'images/validation'},
        {
            f'{kind}/{split}': f'{split}/{kind}'
            for kind in ('images', 'masks')
            for split in IMAGES
        },
        {'masks/train/a.png': 'masks/train/a_mask.png'},
        {'masks/train/a.png': 'masks/train/a_labelIds.png'},
        {'images/train/a.jpg': 'images/train/x/a.jpg'}
        | {'masks/train/a.png': 'masks/train/x/a.png'},
        {'classes.txt': 'masks/class_names.txt'},
        {f'masks/train/{name}.png': f'masks/{name}.png' for name in 'abc'}
        | {f'masks/val/{name}.png': f'masks/{name}.png' for name in 'de'}
        | {'masks/train': 'x/train', 'masks/val': 'x/val'},
        {f'images/train/{name}.jpg': f'images/{name}.jpg' for name in 'abc'}
        | {f'images/val/{name}.jpg': f'images/{name}.jpg' for name in 'de'}
        | {'images/train': 'x/train', 'images/val': 'x/val'},
    ],
)
def test_folders_and_names(tmp_path, moves):
    move(write_pairs(tmp_path, 'index'), moves)
    source = masks.find(tmp_path)
    assert source.faults == []
    assert sorted(i.split for i in source.items) == ['train'] * 3 + ['val'] * 2
    check_labels(source)


def test_png_before_a_preview_of_the_same_name(tmp_path):
    write_pairs(tmp_path, 'index')
    write_image(tmp_path / 'masks' / 'train' / 'a.jpg')
    check_labels(masks.find(tmp_path))


def test_test_images_need_no_mask(tmp_path):
    write_pairs(tmp_path, 'index')
    write_image(tmp_path / 'images' / 'test' / 'f.jpg')
    source = masks.find(tmp_path)
    assert source.faults == []
    check_labels(source)


@pytest.mark.parametrize('kind', FINDERS)
def test_missing_mask(tmp_path, kind):
    write_pairs(tmp_path, kind)
    (mask,) = tmp_path.rglob('d.png')
    mask.unlink()
    source = FINDERS[kind].find(tmp_path)
    (fault,) = faults_of(source).pop(('error', 'missing-mask'))
    assert fault.file.endswith('d.jpg')
    assert str(mask) in fault.message
    check_labels(source, {'train': IMAGES['train'], 'val': ('e',)})


@pytest.mark.parametrize('kind', FINDERS)
def test_missing_image(tmp_path, kind):
    write_pairs(tmp_path, kind)
    (image,) = tmp_path.rglob('d.jpg')
    image.unlink()
    source = FINDERS[kind].find(tmp_path)
    (fault,) = faults_of(source).pop(('error', 'missing-image'))
    assert fault.file.endswith('d.png')
    check_labels(source, {'train': IMAGES['train'], 'val': ('e',)})


def test_split_without_masks(tmp_path):
    write_pairs(tmp_path, 'index')
    shutil.rmtree(tmp_path / 'masks' / 'val')
    faults = masks.find(tmp_path).faults
    assert [fault.kind for fault in faults] == ['missing-mask'] * 2


@pytest.mark.parametrize('content', ['truncated', 'text'])
def test_unreadable_mask(tmp_path, content):
    write_pairs(tmp_path, 'index')
    mask = tmp_path / 'masks' / 'train' / 'a.png'
    data = mask.read_bytes()
    mask.write_bytes(data[: len(data) * 2 // 3] if content == 'truncated' else b'no')
    source = masks.find(tmp_path)
    (fault,) = faults_of(source).pop(('error', 'unreadable-mask'))
    assert fault.file == str(mask)
    assert source.read_labels(source.items[0])[0] is None


@pytest.mark.parametrize('name', ['a.jpg', 'a.png'])
def test_mask_is_jpeg(tmp_path, name):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'masks' / 'train' / 'a.png').unlink()
    mask = tmp_path / 'masks' / 'train' / name
    Image.fromarray(label_map('a')).save(mask, 'JPEG')
    source = masks.find(tmp_path)
    (fault,) = faults_of(source).pop(('error', 'mask-is-jpeg'))
    assert fault.file == str(mask)
    assert source.classes == CLASSES


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('kind', ['index', 'ade20k', 'voc'])
def test_label_above_classes(tmp_path, kind, dtype):
    write_pairs(tmp_path, kind)
    (mask,) = tmp_path.rglob('b.png')
    numbers = np.asarray(Image.open(mask)).astype(dtype)
    numbers[:2, :5] = 7 if dtype is np.uint8 else 700
    write_mask(mask, numbers)
    source = FINDERS[kind].find(tmp_path)
    kinds = faults_of(source)
    assert {level for level, _ in kinds} == {'error'}
    (fault,) = kinds[('error', 'label-above-classes')]
    assert fault.file == str(mask)
    assert f'{numbers[0, 0]} in 10 pixels' in fault.message
    expected = '1 to 3, and 0, 255' if kind == 'ade20k' else '0 to 2, and 255'
    assert expected in fault.message


def test_unknown_colour(tmp_path):
    write_pairs(tmp_path, 'rgb')
    mask = tmp_path / 'masks' / 'train' / 'b.png'
    colours = coloured(label_map('b'))
    colours[0, :6] = 61, 16, 152
    colours[1, :2] = 0, 0, 0
    write_mask(mask, colours)
    source = masks.find(tmp_path)
    (fault,) = faults_of(source).pop(('error', 'unknown-colour'))
    assert fault.file == str(mask)
    assert '(61, 16, 152) in 6 pixels, (0, 0, 0) in 2 pixels' in fault.message
    assert 'classes.txt' in fault.message
    assert 'PNG' in fault.message
    item = next(item for item in source.items if item.annotation == mask)
    np.testing.assert_array_equal(source.read_labels(item)[0], label_map('b'))


def test_all_ignored(tmp_path):
    write_pairs(tmp_path, 'index')
    mask = tmp_path / 'masks' / 'val' / 'e.png'
    write_mask(mask, np.full((48, 64), 255, np.uint8))
    (fault,) = faults_of(masks.find(tmp_path)).pop(('warning', 'all-ignored'))
    assert fault.file == str(mask)


def test_alpha_is_ignored(tmp_path):
    write_pairs(tmp_path, 'rgb')
    for mask in (tmp_path / 'masks').rglob('*.png'):
        image = Image.open(mask).convert('RGB')
        image.putalpha(Image.fromarray(label_map('a') * 60))
        image.save(mask)
    check_labels(masks.find(tmp_path))


def test_cvat_export(tmp_path):
    write_pairs(tmp_path, 'voc', splits=False)
    (tmp_path / 'class_names.txt').unlink()
    for mask in (tmp_path / 'SegmentationClass').iterdir():
        write_mask(mask, coloured(label_map(mask.stem)))
    named = zip(CLASSES, PALETTE, strict=True)
    lines = [f'{name}:{r},{g},{b}::\n' for name, (r, g, b) in named]
    lines.append('void:155,155,155::\n')
    (tmp_path / 'labelmap.txt').write_text(''.join(lines))
    source = voc_masks.find(tmp_path)
    assert source.classes == CLASSES
    assert source.palette == list(PALETTE)
    check_labels(source)


def test_voc_images_in_no_list_are_not_annotated(tmp_path):
    write_pairs(tmp_path, 'voc')
    write_image(tmp_path / 'JPEGImages' / 'f.jpg')
    check_labels(voc_masks.find(tmp_path))


def test_numbers_of_many_masks_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(mask_numbers, 'CHUNK', 2)
    paths = []
    for i in range(5):
        paths.append(tmp_path / f'{i}.png')
        write_mask(paths[-1], np.full((4, 4), 10 * i, np.uint8))
    assert set(mask_numbers.find_numbers(paths, ())) == {0, 10, 20, 30, 40}
    with monkeypatch.context() as patch:
        patch.setattr(mask_numbers, 'map_images', None)
        assert set(mask_numbers.find_numbers(paths, ())) == {0, 10, 20, 30, 40}
    write_mask(paths[4], np.full((8, 8), 7, np.uint8))
    assert set(mask_numbers.find_numbers(paths, ())) == {0, 7, 10, 20, 30}


def test_colours_are_mapped_quickly(tmp_path):
    rng = np.random.default_rng(0)
    palette = rng.permutation(256**3)[:60]
    palette = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], 1)
    labels = rng.integers(0, 60, (50, 50)).repeat(40, 0).repeat(40, 1)
    write_mask(tmp_path / 'a.png', palette.astype(np.uint8)[labels])
    entries = [ClassEntry(f'c{i}', tuple(c)) for i, c in enumerate(palette.tolist())]
    legend = make_legend(entries, range(60), 'here')
    item = Item(tmp_path / 'a.jpg', tmp_path / 'a.png')
    times = []
    for _ in range(3):
        start = time.process_time()
        found, faults = read_labels(item, legend)
        times.append(time.process_time() - start)
    assert faults == []
    np.testing.assert_array_equal(found, labels + 1)
    assert min(times) < 0.6


@pytest.mark.parametrize('kind', ['index', 'ade20k'])
def test_a_split_without_images(tmp_path, kind):
    root = write_pairs(tmp_path, kind)
    for folder in root.glob('*/val*'):
        for path in folder.iterdir():
            path.unlink()
    source = find_source(root)
    faults = find_faults(source, scan(source, workers=1))
    assert ('error', 'empty-split', 'val') in [(f.level, f.kind, f.id) for f in faults]


@pytest.mark.parametrize('divided', ['both', 'images'])
def test_two_folders_of_one_split(tmp_path, divided):
    write_pairs(tmp_path, 'index')
    kinds = ('images', 'masks') if divided == 'both' else ('images',)
    for kind in kinds:
        (source,) = (tmp_path / kind / 'train').glob('c.*')
        move(tmp_path, {source: f'{kind}/train_2/{source.name}'})
    check_labels(masks.find(tmp_path))


@pytest.mark.parametrize('kind', ['index', 'ade20k'])
def test_folder_beside_the_splits(tmp_path, kind):
    write_pairs(tmp_path, kind)
    write_image(tmp_path / 'images' / 'extra' / 'a.jpg')
    (fault,) = FINDERS[kind].find(tmp_path).faults
    assert (fault.level, fault.kind) == ('error', 'unread-folder')
    assert fault.file == str(tmp_path / 'images' / 'extra')


def test_voc_name_in_two_lists(tmp_path):
    write_pairs(tmp_path, 'voc')
    with (tmp_path / 'ImageSets' / 'Segmentation' / 'val.txt').open('a') as file:
        file.write('a\n')
    (fault,) = voc_masks.find(tmp_path).faults
    assert (fault.level, fault.kind, fault.id) == ('error', 'in-two-splits', 'a')
    assert 'train.txt' in fault.message
    assert 'val.txt' in fault.message


def test_voc_trainval(tmp_path):
    write_pairs(tmp_path, 'voc')
    lists = tmp_path / 'ImageSets' / 'Segmentation'
    (lists / 'train.txt').unlink()
    (lists / 'trainval.txt').write_text('a\nb\nc\nd\ne\n')
    source = voc_masks.find(tmp_path)
    assert source.faults == []
    splits = {item.image.stem: item.split for item in source.items}
    assert splits == {name: split for split in IMAGES for name in IMAGES[split]}


@pytest.mark.parametrize('home', ['home', 'file/home'])  # in a file nothing is written
def test_numbers_without_a_cache_or_a_file(tmp_path, monkeypatch, home):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / home))
    monkeypatch.setattr(mask_numbers, 'CHUNK', 1)
    write_mask(tmp_path / 'a.png', np.full((4, 4), 10, np.uint8))
    (tmp_path / 'b.png').symlink_to('nothing')
    paths = [tmp_path / 'a.png', tmp_path / 'b.png', tmp_path / 'a.png']
    assert mask_numbers.find_numbers(paths, ()) == {10: 2}
