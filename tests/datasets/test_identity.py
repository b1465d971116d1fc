"""Images of one name in several folders: each keeps its own annotations."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from support.data_faults import edit, found_in
from support.mask_writers import write_image, write_mask, write_pairs
from support.named_alike import (
    CAMERAS,
    WRITERS,
    expected,
    left_edges,
    shots,
    write_labelme,
    write_voc,
    write_yolo,
)

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import prepare
from convnext_backbone.datasets.checks import find_faults
from convnext_backbone.datasets.scan import scan

FAR = 'D:\\proj\\photos\\cam1\\0.png'  # a path of another machine


@pytest.mark.parametrize('kind', WRITERS)
def test_each_image_has_the_objects_of_its_folder(tmp_path, monkeypatch, kind):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    source = find_source(WRITERS[kind](tmp_path / 'data', 5))
    records = scan(source, workers=1)
    assert find_faults(source, records) == []
    assert left_edges(records) == expected(5)
    converted = prepare(source, None, 0)
    edges = {}
    for split in ('train', 'val'):
        content = COCO(str(converted.folder / f'{split}.json'))
        for image in content.imgs.values():
            assert (converted.images / image['file_name']).is_file()
            name = '/'.join(Path(image['file_name']).parts[-2:])
            boxes = [a['bbox'] for a in content.imgToAnns[image['id']]]
            edges[name] = [round(x) for x, *_ in boxes]
    assert edges == expected(5)


# VOC's lists


def write_list(root: Path, split: str, lines: list[str], kind: str = 'Main') -> None:
    file = root / 'ImageSets' / kind / f'{split}.txt'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('\n'.join(lines) + '\n')


@pytest.mark.parametrize(
    'line',
    [
        '{}',
        './{}',
        '{}.png',
        '/{}.png',
        '"{}"',
        'JPEGImages/{}.png',
        'data/JPEGImages/{}.png',
        '{} 1',
        '{} -1',
        '"{}" 1',
        'JPEGImages/{}.png Annotations/{}.xml',
    ],
)
@pytest.mark.parametrize('slash', ['/', '\\'])
def test_lines_of_a_list(tmp_path, line, slash):
    root = write_voc(tmp_path)
    names = [f'{camera}/{i}' for camera in CAMERAS for i in range(3)]
    lines = [line.replace('{}', name).replace('/', slash) for name in names]
    write_list(root, 'train', lines[::2])
    write_list(root, 'val', lines[1::2])
    source = find_source(root)
    assert source.faults == []
    found = {'/'.join(i.image.parts[-2:])[:-4]: i.split for i in source.items}
    assert found == {
        **dict.fromkeys(names[::2], 'train'),
        **dict.fromkeys(names[1::2], 'val'),
    }
    assert left_edges(scan(source, workers=1)) == expected()


@pytest.mark.parametrize('kind', ['det', 'seg'])
@pytest.mark.parametrize('name', ['new photo', '7 1', 'a "b" c', 'x  y', "it's (2)"])
@pytest.mark.parametrize('quoted', [False, True])
def test_names_with_blanks_in_lists(tmp_path, kind, name, quoted):
    if kind == 'det':
        root = tmp_path
        for camera in range(2):
            data = shots(camera, 1)
            data.as_pascal_voc(str(root / 'JPEGImages'), str(root / 'Annotations'))
            new = (name, 'other')[camera]
            (root / 'JPEGImages/0.png').rename(root / f'JPEGImages/{new}.png')
            (root / 'Annotations/0.xml').rename(root / f'Annotations/{new}.xml')
            xml = root / f'Annotations/{new}.xml'
            xml.write_text(xml.read_text().replace('>0.png<', f'>{new}.png<'))
    else:
        root = write_pairs(tmp_path, 'voc', splits=False)
        for new, file in ((name, 'a'), ('other', 'b')):
            (root / f'JPEGImages/{file}.jpg').rename(root / f'JPEGImages/{new}.jpg')
            masks = root / 'SegmentationClass'
            (masks / f'{file}.png').rename(masks / f'{new}.png')
        for file in 'cde':
            (root / f'JPEGImages/{file}.jpg').unlink()
            (root / f'SegmentationClass/{file}.png').unlink()
    listed = name
    if quoted:  # as Datumaro does
        listed = '"' + name.replace('"', '\\"') + '"'
    folder = {'det': 'Main', 'seg': 'Segmentation'}[kind]
    write_list(root, 'train', [listed], folder)
    write_list(root, 'val', ['other'], folder)
    source = find_source(root)
    assert source.faults == []
    splits = {item.image.stem: item.split for item in source.items}
    assert splits == {name: 'train', 'other': 'val'}


def test_a_bare_name_in_a_list_that_two_images_have(tmp_path):
    root = write_voc(tmp_path)
    for kind in ('JPEGImages', 'Annotations'):
        (file,) = (root / kind / 'cam2').glob('2.*')
        file.unlink()
    write_list(root, 'train', ['0', '2'])
    write_list(root, 'val', ['cam2/1'])
    source = find_source(root)
    (unclear, rest) = source.faults
    assert (unclear.kind, unclear.id, rest.kind) == (
        'unclear-name',
        '0',
        'left-out-image',
    )
    assert 'cam1/0 or cam2/0' in unclear.message
    assert rest.message.startswith('3 images, such as cam1/0.png, are annotated')
    found = {'/'.join(i.image.parts[-2:]): i.split for i in source.items}
    assert found == {'cam1/2.png': 'train', 'cam2/1.png': 'val'}


def test_a_listed_name_is_not_cut_to_that_of_another_image(tmp_path):
    root = tmp_path
    data = shots(0, 2)
    data.as_pascal_voc(str(root / 'JPEGImages'), str(root / 'Annotations'))
    write_list(root, 'train', ['0 (1)', '1'])
    assert ('error', 'missing-image', 'train.txt', '0 (1)') in found_in(root)


# LabelMe's imagePath


def state(file: Path, place: str) -> None:
    edit(file, lambda content: content.update(imagePath=place))


@pytest.mark.parametrize(
    'place',
    [
        'D:\\proj\\cam2\\{}',
        '\\\\server\\share\\cam2\\{}',
        '/mnt/nas/cam2/{}',
        '..\\raw\\cam2\\{}',
        'C:/Users/me/{}',
    ],
)
def test_labelme_path_of_another_machine(tmp_path, place):
    root = write_labelme(tmp_path)
    for file in root.rglob('*.json'):
        state(file, place.format(f'{file.stem}.png'))
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()


def test_labelme_images_without_json_are_told(tmp_path):
    root = write_labelme(tmp_path)
    for file in (root / 'cam1').glob('*.json'):
        state(file, FAR.replace('0', file.stem))
    for file in (root / 'cam2').glob('*.json'):
        file.unlink()
    source = find_source(root)
    records = scan(source, workers=1)
    assert left_edges(records) == expected() | {f'cam2/{i}.png': [] for i in range(3)}
    told = [(f.kind, f.file) for f in find_faults(source, records)]
    assert told == [('no-annotation', f'{root}/cam2/{i}.png') for i in range(3)]


@pytest.mark.parametrize('place', [FAR, '0.png', ''])
def test_labelme_image_that_is_in_another_camera_only(tmp_path, place):
    root = write_labelme(tmp_path)
    (root / 'cam1' / '0.png').unlink()
    (root / 'cam2' / '0.json').unlink()
    state(root / 'cam1' / '0.json', place)
    source = find_source(root)
    assert [(f.kind, f.file) for f in source.faults] == [
        ('missing-image', f'{root}/cam1/0.json')
    ]
    (other,) = (i for i in source.items if i.image == root / 'cam2' / '0.png')
    assert other.annotation is None


def test_labelme_image_of_its_name_elsewhere_on_the_machine(tmp_path):
    write_labelme(tmp_path / 'old')
    root = write_labelme(tmp_path / 'new')
    for file in root.rglob('*.json'):
        camera = {'cam1': 'cam2', 'cam2': 'cam1'}[file.parent.name]
        state(file, str(tmp_path / 'old' / camera / f'{file.stem}.png'))
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()
    for image in root.rglob('*.png'):  # without them the path is all there is
        image.unlink()
    records = scan(find_source(root), workers=1)
    assert all(r.image.is_relative_to(tmp_path / 'old') for r in records)


def apart(root: Path) -> Path:
    """Move the json files of both cameras into folders of their own."""
    for camera in CAMERAS:
        for kind, pattern in (('images', '*.png'), ('json', '*.json')):
            (root / kind / camera).mkdir(parents=True)
            for file in (root / camera).glob(pattern):
                file.rename(root / kind / camera / file.name)
    return root


@pytest.mark.parametrize('place', ['..\\..\\images\\{}\\{}', 'E:\\{}\\{}', '{1}'])
def test_labelme_files_apart_from_their_images(tmp_path, place):
    root = apart(write_labelme(tmp_path))
    for file in root.rglob('*.json'):
        state(file, place.format(file.parent.name, f'{file.stem}.png'))
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()
    (root / 'images' / 'cam2' / '0.png').unlink()
    (root / 'json' / 'cam1' / '0.json').unlink()
    (fault,) = find_source(root).faults  # not that of the other camera
    assert (fault.kind, fault.file) == ('missing-image', f'{root}/json/cam2/0.json')


def test_labelme_files_in_one_folder(tmp_path):
    root = apart(write_labelme(tmp_path))
    shutil.rmtree(root / 'json' / 'cam2')
    (root / 'images' / 'cam2' / '2.png').unlink()
    for file in (root / 'json' / 'cam1').iterdir():
        file.rename(root / 'json' / file.name)
    faults = {Path(f.file).name: f for f in find_source(root).faults}
    for i in range(2):
        assert (faults[f'{i}.json'].level, faults[f'{i}.json'].kind) == (
            'error',
            'unclear-image',
        )
    assert (faults['2.json'].level, faults['2.json'].kind) == ('warning', 'moved-image')
    assert f'{root}/images/cam1/2.png by the name alone' in faults['2.json'].message


def test_labelme_file_that_is_for_a_neighbour(tmp_path):
    root = write_labelme(tmp_path)
    (root / 'cam1' / '1.json').unlink()
    state(root / 'cam1' / '0.json', '1.png')
    faults = found_in(root)
    assert ('warning', 'name-mismatch', '0.json', '') in faults
    assert ('warning', 'no-annotation', '0.png', '') in faults


# masks


def write_cameras(root: Path, images: str, masks: str, depth: str = '') -> Path:
    """Write two cameras with images of the same names and masks of different labels."""
    for camera, name in enumerate(CAMERAS):
        for i in range(3):
            write_image(root / images / depth / name / f'{i}.jpg')
            labels = np.full((48, 64), camera, np.uint8)
            labels[: 4 + i] = 2
            write_mask(root / masks / depth / name / f'{i}.png', labels)
    (root / 'classes.txt').write_text('one\ntwo\nthree\n')
    return root


def check_cameras(source) -> None:
    assert source.faults == []
    assert len(source.items) == 6
    for item in source.items:
        labels, faults = source.read_labels(item)
        assert faults == []
        camera, number = CAMERAS.index(item.image.parent.name), int(item.image.stem)
        assert (labels[:, 0] == 3).sum() == 4 + number
        assert labels[-1, 0] == camera + 1


@pytest.mark.parametrize('depth', ['', 'site', 'a/b'])
@pytest.mark.parametrize(
    ('images', 'masks'),
    [
        ('JPEGImages', 'SegmentationClass'),
        ('images', 'masks'),
        ('images/training', 'annotations/training'),
    ],
)
def test_each_image_has_the_mask_of_its_folder(
    tmp_path, monkeypatch, images, masks, depth
):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    root = write_cameras(tmp_path / 'data', images, masks, depth)
    if 'training' in images:  # ADE20K's numbers begin at 1
        for path in (root / masks).rglob('*.png'):
            write_mask(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED) + 1)
    source = find_source(root)
    check_cameras(source)
    if 'training' in images:
        return  # the layout has training data and no other
    converted = prepare(source, None, 0)
    for item in source.items:
        name = f'{item.image.relative_to(root)}.png'
        mask = cv2.imread(str(converted.folder / 'masks' / name), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(mask, source.read_labels(item)[0])


def test_voc_lists_with_folders(tmp_path):
    root = write_cameras(tmp_path, 'JPEGImages', 'SegmentationClass')
    write_list(root, 'train', [f'cam1/{i}' for i in range(3)], 'Segmentation')
    write_list(root, 'val', [f'cam2/{i}' for i in range(3)], 'Segmentation')
    source = find_source(root)
    check_cameras(source)
    assert {i.split: i.image.parent.name for i in source.items} == {
        'train': 'cam1',
        'val': 'cam2',
    }
    write_list(root, 'val', ['cam2/0'], 'Segmentation')
    (fault,) = find_source(root).faults
    assert fault.kind == 'left-out-image'
    assert fault.message.startswith('2 images, such as cam2/1.jpg, have a mask')


def test_voc_masks_in_one_folder(tmp_path):
    root = write_cameras(tmp_path, 'JPEGImages', 'SegmentationClass')
    masks = root / 'SegmentationClass'
    for i in range(3):  # of the images 0 there are two, of the others one
        (masks / 'cam1' / f'{i}.png').rename(masks / f'{i}.png')
        if i:
            (root / 'JPEGImages' / 'cam2' / f'{i}.jpg').unlink()
    shutil.rmtree(masks / 'cam2')
    source = find_source(root)
    names = {'/'.join(item.image.parts[-2:]) for item in source.items}
    assert names == {'cam1/1.jpg', 'cam1/2.jpg'}
    kinds = [(fault.level, fault.kind) for fault in source.faults]
    assert kinds == [('warning', 'left-out-image'), ('error', 'missing-image')]


@pytest.mark.parametrize('folder', ['', 'deep'])
def test_a_mask_of_an_image_whose_name_is_another_with_an_ending(tmp_path, folder):
    write_pairs(tmp_path, 'index')
    write_image(tmp_path / 'images' / 'train' / folder / 'x.jpg')
    write_image(tmp_path / 'images' / 'train' / folder / 'x_gt.jpg')
    mask = np.zeros((48, 64), np.uint8)
    write_mask(tmp_path / 'masks' / 'train' / folder / 'x_gt.png', mask)
    source = find_source(tmp_path)
    (fault,) = source.faults
    assert (fault.kind, Path(fault.file).name) == ('missing-mask', 'x.jpg')
    assert {i.image.stem for i in source.items} == {*'abcde', 'x_gt'}


def test_two_splits_cannot_share_a_mask(tmp_path):
    write_pairs(tmp_path, 'index')
    write_image(tmp_path / 'images' / 'val' / 'a.jpg')
    write_image(tmp_path / 'images' / 'test' / 'b.jpg')
    for split in ('train', 'val'):
        for mask in (tmp_path / 'masks' / split).iterdir():
            mask.rename(tmp_path / 'masks' / mask.name)
        (tmp_path / 'masks' / split).rmdir()
    source = find_source(tmp_path)
    (fault,) = source.faults
    assert (fault.kind, fault.file) == ('shared-mask', f'{tmp_path}/images/val/a.jpg')
    assert sorted(i.image.stem for i in source.items) == list('abcde')


def test_two_masks_for_one_image(tmp_path):
    write_pairs(tmp_path, 'index')
    mask = tmp_path / 'masks' / 'train' / 'a.png'
    shutil.copy(mask, mask.with_suffix('.bmp'))
    (tmp_path / 'masks' / 'train_2').mkdir()
    shutil.copy(tmp_path / 'masks' / 'train' / 'b.png', tmp_path / 'masks' / 'train_2')
    (tmp_path / 'images' / 'train').rename(tmp_path / 'images' / 'train_3')
    faults = find_source(tmp_path).faults
    assert [(f.kind, Path(f.file).name) for f in faults] == [
        ('duplicate-mask', 'a.png'),
        ('duplicate-mask', 'b.jpg'),
    ]


# COCO's and YOLO's folders


def test_coco_folder_is_the_one_with_most_of_the_images(tmp_path):
    root = WRITERS['coco'](tmp_path)
    (root / 'cam1').mkdir()
    shutil.copy(root / 'images' / 'cam1' / '0.png', root / 'cam1')
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()
    assert source.items[0].image == root / 'images' / 'cam1' / '0.png'


def test_coco_folder_beside_another_with_the_same_names(tmp_path):
    root = WRITERS['coco'](tmp_path)
    shutil.copytree(root / 'images', root / 'train')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind) == ('warning', 'unclear-folder')
    assert f'{root}/train' in fault.message
    assert f'{root}/images' in fault.message


def test_coco_image_under_two_names(tmp_path):
    root = WRITERS['coco'](tmp_path)
    content = json.loads((root / 'train.json').read_text())
    content['images'][1]['file_name'] = './cam1/0.png'
    (root / 'train.json').write_text(json.dumps(content))
    assert ('error', 'duplicate-image', '0.png', '') in found_in(root)


def test_yolo_folder_of_another_data_set_beside(tmp_path):
    """Roboflow writes ``../train/images`` and means ``train/images``."""
    root = write_yolo(tmp_path / 'mine' / 'train').parent
    write_yolo(tmp_path / 'train')
    shutil.move(root / 'train' / 'data.yaml', root / 'data.yaml')
    with (root / 'data.yaml').open('a') as file:
        file.write('train: ../train/images\n')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind, fault.id) == ('warning', 'unclear-folder', 'train')
    shutil.rmtree(tmp_path / 'train')
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()


@pytest.mark.parametrize('line', ['{}', './{}'])
def test_yolo_list_whose_images_are_there_twice(tmp_path, line):
    root = write_yolo(tmp_path)
    shutil.copytree(root / 'images', root / 'lists' / 'images')
    names = [line.format(f'images/cam1/{i}.png') for i in range(2)]
    (root / 'lists' / 'train.txt').write_text('\n'.join(names))
    with (root / 'data.yaml').open('a') as file:
        file.write('train: lists/train.txt\n')
    source = find_source(root)
    if line.startswith('./'):  # from the list, clearly
        images = [item.image for item in source.items]
        assert images == [root / 'lists/images/cam1' / f'{i}.png' for i in range(2)]
    else:
        assert [(f.kind, f.id) for f in source.faults] == [
            ('unclear-name', 'line 1'),
            ('unclear-name', 'line 2'),
        ]


@pytest.mark.parametrize('capital', [False, True])
def test_yolo_labels_are_looked_for_below_the_data_set(tmp_path, capital):
    root = write_yolo(tmp_path / 'images' / 'mine')
    if capital:
        (root / 'images').rename(root / 'Images')
        (root / 'labels').rename(root / 'Labels')
        kinds = ('Images', 'Labels')
    else:  # labels beside the images
        kinds = ('photos', 'photos')
        for camera in CAMERAS:
            (root / 'photos' / camera).mkdir(parents=True)
            for file in (
                *root.glob(f'*/{camera}/*.png'),
                *root.glob(f'*/{camera}/*.txt'),
            ):
                file.rename(root / 'photos' / camera / file.name)
    lines = [str(path) for path in (root / kinds[0] / 'cam2').glob('*.png')]
    (root / 'val.txt').write_text('\n'.join(lines))
    with (root / 'data.yaml').open('a') as file:
        file.write(f'train: {kinds[0]}/cam1\nval: val.txt\n')
    source = find_source(root)
    assert source.faults == []
    assert left_edges(scan(source, workers=1)) == expected()


def test_yolo_folder_without_any_label(tmp_path):
    root = write_yolo(tmp_path)
    shutil.rmtree(root / 'labels' / 'cam2')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind) == ('warning', 'no-annotation')
    assert fault.file == str(root / 'images' / 'cam2')
    for file in (root / 'labels').rglob('*.txt'):
        file.unlink()
    assert {kind for _, kind, *_ in found_in(root)} == {
        'empty-split',
        'class-without-objects',
    }
