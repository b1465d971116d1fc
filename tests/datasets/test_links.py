"""Data sets with symbolic links: followed as they are written, broken ones told."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from support.data_faults import found_in
from support.mask_writers import check_labels, write_pairs
from support.named_alike import CAMERAS, WRITERS, expected, left_edges, write_yolo

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import cache_folder, prepare
from convnext_backbone.datasets.scan import scan

IMAGE_FOLDERS = {'voc': 'JPEGImages', 'yolo': 'images', 'labelme': '', 'coco': 'images'}


def into_pool(file: Path, pool: Path) -> None:
    """Put a file into a pool as DVC does, named by its hash, and leave a link."""
    pool.mkdir(exist_ok=True)
    target = pool / hashlib.md5(file.read_bytes()).hexdigest()
    file.replace(target)
    file.symlink_to(os.path.relpath(target, file.parent))


def move_and_link(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    folder.symlink_to(os.path.relpath(target, folder.parent))


def check(root: Path, monkeypatch) -> None:
    """See that all images have the objects of their folders, converted ones too."""
    source = find_source(root)
    assert source.faults == []
    records = scan(source, workers=1)
    assert [record.faults for record in records] == [[]] * 6
    assert left_edges(records) == expected()
    monkeypatch.setenv('CONVNEXT_HOME', str(source.folder.parent / 'home'))
    splits = (prepare(source, None, 0).folder / 'splits.json').read_text()
    assert all(f'{name}"' in splits for name in expected())


@pytest.mark.parametrize('kind', WRITERS)
def test_every_file_is_a_link_into_a_pool(tmp_path, monkeypatch, kind):
    root = WRITERS[kind](tmp_path / 'data')
    for file in [p for p in root.rglob('*') if p.is_file()]:
        into_pool(file, tmp_path / 'pool')
    check(root, monkeypatch)


@pytest.mark.parametrize('kind', WRITERS)
def test_linked_subfolder(tmp_path, monkeypatch, kind):
    root = WRITERS[kind](tmp_path / 'data')
    for folder in list(root.rglob('cam2')):
        move_and_link(folder, tmp_path / 'site' / f'{folder.parent.name}_b')
    check(root, monkeypatch)


@pytest.mark.parametrize('kind', ['voc', 'yolo', 'coco'])
def test_linked_folder_of_images(tmp_path, monkeypatch, kind):
    root = WRITERS[kind](tmp_path / 'data')
    move_and_link(root / IMAGE_FOLDERS[kind], tmp_path / 'photos' / 'all of 2024')
    check(root, monkeypatch)


@pytest.mark.parametrize('kind', WRITERS)
def test_linked_data_set(tmp_path, monkeypatch, kind):
    WRITERS[kind](tmp_path / 'v1.3')
    (tmp_path / 'current').symlink_to('v1.3')
    check(tmp_path / 'current', monkeypatch)
    source = find_source(tmp_path / 'current')
    assert source.root == tmp_path / 'current'
    assert cache_folder(source, None, 0).name.startswith('current-')


def test_coco_json_that_is_a_link(tmp_path, monkeypatch):
    root = WRITERS['coco'](tmp_path / 'data')
    into_pool(root / 'train.json', tmp_path / 'pool')
    check(root / 'train.json', monkeypatch)


@pytest.mark.parametrize('stated', ['images/{}', 'lists/{}.txt', '{}.txt'])
def test_yolo_parts_with_links(tmp_path, monkeypatch, stated):
    root = write_yolo(tmp_path / 'data')
    move_and_link(root / 'images' / 'cam2', tmp_path / 'photos')
    for file in (root / 'images' / 'cam1').iterdir():
        into_pool(file, tmp_path / 'pool')
    lines = [f'train: {stated.format("cam1")}', f'val: {stated.format("cam2")}']
    with (root / 'data.yaml').open('a') as file:
        file.write('\n'.join(lines))
    (root / 'lists').mkdir()
    for camera in CAMERAS:
        names = [str(path) for path in (root / 'images' / camera).iterdir()]
        (root / f'{camera}.txt').write_text('\n'.join(names))
        names = [os.path.relpath(name, root / 'lists') for name in names]
        (root / 'lists' / f'{camera}.txt').write_text('\n'.join(names))
    check(root, monkeypatch)


@pytest.mark.parametrize('kind', ['index', 'rgb', 'voc'])
@pytest.mark.parametrize('what', ['files', 'folders'])
def test_linked_masks(tmp_path, kind, what):
    root = write_pairs(tmp_path / 'data', kind)
    if what == 'files':
        for file in [p for p in root.rglob('*') if p.is_file()]:
            into_pool(file, tmp_path / 'pool')
    else:
        folders = sorted(p for p in root.rglob('*') if p.is_dir())
        for i, folder in enumerate(reversed(folders)):  # links in linked folders
            target = tmp_path / f'moved_{i}'
            folder.rename(target)
            folder.symlink_to(target)
    source = find_source(root)
    assert source.faults == []
    check_labels(source)


# Links that do not lead to other data


def test_loops_are_told_and_not_followed(tmp_path):
    root = write_yolo(tmp_path)
    (root / 'images' / 'again').symlink_to('.')
    (root / 'images' / 'cam1' / 'up').symlink_to('../..')
    (root / 'images' / 'cam2' / 'other').symlink_to('../cam1/up/images')
    (root / 'images' / 'itself').symlink_to('itself')
    source = find_source(root)
    assert left_edges(scan(source, workers=1)) == expected()
    assert {(f.level, f.kind, Path(f.file).name) for f in source.faults} == {
        ('warning', 'link-loop', 'again'),
        ('warning', 'link-loop', 'up'),
        ('warning', 'link-loop', 'other'),
        ('error', 'broken-link', 'itself'),
    }


@pytest.mark.parametrize('kind', WRITERS)
@pytest.mark.parametrize('text', [False, True])
def test_a_link_to_a_folder_that_is_gone(tmp_path, kind, text):
    root = WRITERS[kind](tmp_path / 'data')
    link = root / IMAGE_FOLDERS[kind] / 'cam3'
    if text:
        link.write_text('../../gone/cam3')
    else:
        link.symlink_to('../../gone/cam3')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind, fault.file) == ('error', 'broken-link', str(link))
    assert '../../gone/cam3' in fault.message


def test_a_validation_json_that_is_a_link_no_longer(tmp_path):
    root = WRITERS['coco'](tmp_path)
    (root / 'val.json').write_text('../pool/val.json')
    (fault,) = find_source(root).faults
    assert (fault.level, fault.kind, fault.file) == (
        'error',
        'broken-link',
        str(root / 'val.json'),
    )


def test_broken_links_beside_the_data(tmp_path):
    root = write_yolo(tmp_path)
    for name in ('.venv/lib64', 'runs/last'):
        (root / name).parent.mkdir()
        (root / name).symlink_to('gone')
    assert found_in(root) == [('warning', 'broken-link', 'last', '')]


@pytest.mark.parametrize('kind', WRITERS)
@pytest.mark.parametrize('text', [False, True])
def test_a_link_to_an_image_that_is_gone(tmp_path, kind, text):
    root = WRITERS[kind](tmp_path)
    image = root / IMAGE_FOLDERS[kind] / 'cam1' / '0.png'
    image.unlink()
    if text:
        image.write_text('../../pool/0.png')
    else:
        image.symlink_to('../../pool/0.png')
    source = find_source(root)
    (record,) = (r for r in scan(source, workers=1) if r.image == image)
    (fault,) = record.faults
    assert (fault.level, fault.file) == ('error', str(image))
    assert '../../pool/0.png' in fault.message


def test_a_link_to_labels_that_are_gone(tmp_path):
    root = write_yolo(tmp_path)
    file = root / 'labels' / 'cam1' / '0.txt'
    file.unlink()
    file.symlink_to('../../pool/0.txt')
    assert found_in(root) == [('error', 'broken-link', '0.txt', '')]
    shutil.rmtree(root / 'labels' / 'cam1')
    (root / 'labels' / 'cam1').symlink_to('gone')
    assert ('error', 'broken-link', 'cam1', '') in found_in(root)


@pytest.mark.parametrize('labels', ['none', 'linked', 'others'])
def test_images_that_are_there_twice_by_a_link(tmp_path, labels):
    root = write_yolo(tmp_path)
    (root / 'images' / 'latest').symlink_to('cam1')
    if labels == 'linked':
        (root / 'labels' / 'latest').symlink_to('cam1')
    elif labels == 'others':
        shutil.copytree(root / 'labels' / 'cam2', root / 'labels' / 'latest')
    level = 'warning' if labels == 'linked' else 'error'
    faults = [fault for fault in found_in(root) if fault[1] == 'duplicate-image']
    assert faults == [(level, 'duplicate-image', f'{i}.png', '') for i in range(3)]


def test_an_image_in_two_splits_by_a_link(tmp_path):
    root = write_yolo(tmp_path)
    with (root / 'data.yaml').open('a') as file:
        file.write('train: images/cam1\nval: images/cam2\n')
    image = root / 'images' / 'cam2' / '0.png'
    image.unlink()
    image.symlink_to('../cam1/0.png')
    assert ('error', 'in-two-splits', '0.png', '') in found_in(root)


def test_the_cache_knows_what_links_lead_to(tmp_path):
    root = write_yolo(tmp_path / 'data')
    into_pool(root / 'labels' / 'cam1' / '0.txt', tmp_path / 'pool')
    before = cache_folder(find_source(root), None, 0)
    assert cache_folder(find_source(root), None, 0) == before
    (file,) = (tmp_path / 'pool').iterdir()
    file.write_text(file.read_text() + '\n0 .5 .5 .2 .2\n')
    assert cache_folder(find_source(root), None, 0) != before
