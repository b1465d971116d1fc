import errno
import json
import os

import cv2
import numpy as np
import pytest

from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import (
    check_writable,
    list_folder,
    make_folder,
    walk,
    write_bytes,
)
from convnext_backbone.foundation.json_files import read_json, write_json
from convnext_backbone.foundation.png import write_png


def message(function, *args):
    with pytest.raises(UserError) as told:
        function(*args)
    return str(told.value)


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / 'a' / 'b' / 'c.txt'
    for content in (b'1', b'2'):
        write_bytes(path, content)
        assert path.read_bytes() == content
        assert os.listdir(path.parent) == ['c.txt']


@pytest.mark.parametrize('write', [write_bytes, write_json, write_png])
def test_a_path_that_cannot_be_written_is_told(tmp_path, write):
    picture = np.zeros((2, 2), np.uint8)
    content = {write_bytes: b'', write_json: {}, write_png: picture}[write]
    told = message(write, tmp_path, content)
    assert told == f'writing {tmp_path}: Is a directory'
    (tmp_path / 'file').write_text('mine')
    told = message(write, tmp_path / 'file' / 'x', content)
    assert told == f'writing {tmp_path}/file/x: Not a directory ({tmp_path}/file)'
    assert (tmp_path / 'file').read_text() == 'mine'
    assert os.listdir(tmp_path) == ['file']


def test_half_a_file_is_removed(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr('pathlib.Path.write_bytes', full)
    told = message(write_bytes, tmp_path / 'a', b'1')
    assert told == f'writing {tmp_path}/a: No space left on device ({tmp_path}/a.part)'
    assert os.listdir(tmp_path) == []


def test_a_folder_without_permission_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    told = message(check_writable, tmp_path / 'a.json')
    assert told == f'writing {tmp_path}/a.json: Permission denied ({tmp_path})'


def test_a_folder_in_place_of_a_file_is_told(tmp_path):
    (tmp_path / 'file').touch()
    make_folder(tmp_path / 'a' / 'b')
    make_folder(tmp_path / 'a' / 'b')
    told = message(make_folder, tmp_path / 'file')
    assert told == f'creating the folder {tmp_path}/file: Not a directory'


@pytest.mark.parametrize('level', [None, 0, 9])
def test_a_picture_is_written_without_loss(tmp_path, level):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / 'a.png', picture, level)
    assert np.array_equal(cv2.imread(str(tmp_path / 'a.png')), picture)


def test_json_is_read_as_it_was_written(tmp_path):
    write_json(tmp_path / 'a.json', {'ä': [1, float('nan'), np.float32(0.5)]})
    assert read_json(tmp_path / 'a.json', dict) == {'ä': [1, None, 0.5]}


@pytest.mark.parametrize('content', [b'{"a": ', b'\xff\xfe\xfd', b'[' * 100_000])
def test_a_damaged_json_is_told(tmp_path, content):
    (tmp_path / 'a.json').write_bytes(content)
    told = message(read_json, tmp_path / 'a.json', dict)
    assert told.startswith(f'{tmp_path}/a.json is not valid JSON (')
    assert told.endswith('): restore the damaged file, or remove it')


@pytest.mark.parametrize(('kind', 'name'), [(dict, 'object'), (list, 'array')])
@pytest.mark.parametrize('content', ['null', '"text"', '{"a": 1}', '[1]'])
def test_a_json_of_another_kind_is_told(tmp_path, kind, name, content):
    (tmp_path / 'a.json').write_text(content)
    if isinstance(json.loads(content), kind):
        assert read_json(tmp_path / 'a.json', kind) == json.loads(content)
    else:
        told = message(read_json, tmp_path / 'a.json', kind)
        assert told.startswith(f'{tmp_path}/a.json holds ')
        assert told.endswith(
            f', expected a JSON {name}: restore the damaged file, or remove it'
        )


def test_a_json_that_cannot_be_read_is_told(tmp_path):
    told = message(read_json, tmp_path / 'a.json', dict)
    assert told == f'reading {tmp_path}/a.json: No such file or directory'


def test_everything_below_a_folder_is_found(tmp_path):
    for name in ('b/c.txt', 'a.txt', 'b/.hidden'):
        write_bytes(tmp_path / name, b'')
    (tmp_path / 'link').symlink_to(tmp_path / 'b')  # not followed
    assert sorted(walk(tmp_path)) == sorted(tmp_path.rglob('*'))
    assert list(walk(tmp_path / 'none')) == list(walk(tmp_path / 'a.txt')) == []
    assert [path.name for path in list_folder(tmp_path)] == ['a.txt', 'b', 'link']


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    (tmp_path / 'secret').mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('secret'):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    told = message(list, walk(tmp_path))
    assert told == f'listing {tmp_path}: Permission denied ({tmp_path}/secret)'
    told = message(list_folder, tmp_path / 'none')
    assert told == f'listing {tmp_path}/none: No such file or directory'


def test_of_an_error_in_another_process_the_reason_is_told():
    def fail():
        with os_errors_told('evaluating'):
            raise FileNotFoundError(
                'Caught in worker\nTraceback:\n  x\nno such: a.png\n'
            )

    assert message(fail) == 'evaluating: no such: a.png'
