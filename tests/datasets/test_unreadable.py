"""A file or folder of a data set that the system refuses is one message."""

from pathlib import Path

import pytest
from support.commands import DET, tool
from support.dataset_writers import write_coco, write_labelme, write_voc, write_yolo
from support.mask_writers import write_pairs

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import prepare


def write_index_masks(root: Path) -> Path:
    return write_pairs(root, 'index')


def write_voc_masks(root: Path) -> Path:
    return write_pairs(root, 'voc')


def make_a_folder_of(file: Path) -> None:
    """Put a folder in place of a file: nobody can read it, not even root."""
    file.unlink()
    file.mkdir()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    return tmp_path / 'data'


@pytest.mark.parametrize(
    ('write', 'file'),
    [
        (write_coco, 'train.json'),
        (write_yolo, 'data.yaml'),
        (write_voc, 'Annotations/train_1.xml'),
        (write_voc, 'ImageSets/Main/train.txt'),
        (write_labelme, 'train/train_1.json'),
        (write_index_masks, 'classes.txt'),
        (write_voc_masks, 'ImageSets/Segmentation/train.txt'),
    ],
)
def test_a_file_of_the_layout_that_cannot_be_read(root, capsys, write, file):
    write(root)
    make_a_folder_of(root / file)
    assert tool('check-dataset', root) == 1
    assert capsys.readouterr().err == (
        f'error: reading the data set {root}: Is a directory ({root / file})\n'
    )


@pytest.mark.parametrize(
    ('write', 'file', 'kind', 'message'),
    [
        (
            write_coco,
            'train/train_1.png',
            'unreadable-image',
            'cannot be decoded ([Errno 21] Is a directory',
        ),
        (
            write_yolo,
            'labels/train/train_1.txt',
            'unreadable-annotation',
            'cannot be read (Is a directory): make it readable',
        ),
        (
            write_index_masks,
            'masks/train/a.png',
            'unreadable-mask',
            'cannot be decoded ([Errno 21] Is a directory',
        ),
    ],
)
def test_a_file_of_one_image_that_cannot_be_read(
    root, capsys, write, file, kind, message
):
    write(root)
    make_a_folder_of(root / file)
    assert tool('check-dataset', root) == 1
    out, err = capsys.readouterr()
    assert f'error: {kind} (1)\n    {root / file}: {message}' in out
    assert 'Traceback' not in out + err


@pytest.mark.parametrize('place', ['missing', 'file/below', 'loop', '~nobody/data'])
def test_a_data_set_that_does_not_exist(root, capsys, monkeypatch, place):
    monkeypatch.chdir(root)
    (root / 'file').touch()
    (root / 'loop').symlink_to('loop')
    assert tool('check-dataset', place) == 1
    told = f'error: {place} does not exist: give the folder of a data set\n'
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ('picture', 'reason'), [('', 'Is a directory'), ('train.json/x.png', 'Not a dir')]
)
def test_a_picture_that_cannot_be_written(root, capsys, picture, reason):
    write_coco(root)
    assert tool('check-dataset', root, '--picture', root / picture) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f'error: writing {root / picture}: {reason}')
    assert len(err.splitlines()) == 1
    assert out == ''  # before the data set is read, which may take long


def test_a_cache_that_cannot_be_written(root, capsys, monkeypatch):
    write_coco(root)
    (root.parent / 'file').touch()
    monkeypatch.setenv('CONVNEXT_HOME', str(root.parent / 'file'))
    argv = ['--base', DET.removeprefix('configs/').removesuffix('.py')]
    assert tool('finetune', root, *argv, '--from-scratch') == 1
    place = root.parent / 'file' / 'datasets'
    told = f'error: writing to the cache (CONVNEXT_HOME) {place}: Not a directory\n'
    assert capsys.readouterr().err.endswith(told)


def test_a_damaged_cache(root, monkeypatch):
    write_coco(root)
    monkeypatch.setenv('CONVNEXT_HOME', str(root.parent / 'home'))
    folder = prepare(find_source(root), None, 0).folder
    (folder / 'dataset.json').write_text('{')
    with pytest.raises(ValueError, match=r'dataset\.json is not valid JSON .* remove'):
        prepare(find_source(root), None, 0)
