import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import (
    LOOPS,
    as_written,
    broken_link,
    check_writable,
    find_broken_links,
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
    (tmp_path / 'link').symlink_to(tmp_path / 'b')
    linked = [tmp_path / 'link/c.txt', tmp_path / 'link/.hidden']
    assert sorted(walk(tmp_path)) == sorted([*tmp_path.rglob('*'), *linked])
    assert list(walk(tmp_path / 'none')) == list(walk(tmp_path / 'a.txt')) == []
    assert [path.name for path in list_folder(tmp_path)] == ['a.txt', 'b', 'link']


def test_links_that_lead_back_up_are_not_followed(tmp_path):
    write_bytes(tmp_path / 'far/c.txt', b'')
    write_bytes(tmp_path / 'top/b/a.txt', b'')
    (tmp_path / 'top/b/far').symlink_to('../../far')
    loops = {
        'top/b/here': '.',
        'top/b/up': '../..',
        'top/back': 'b/far',  # no loop: it is there twice
        'far/b': '../top/b',
        'far/far': str(tmp_path / 'far'),
    }
    for name, target in loops.items():
        (tmp_path / name).symlink_to(target)
    names = {str(path.relative_to(tmp_path / 'top')) for path in walk(tmp_path / 'top')}
    assert {name for name in names if name.endswith('.txt')} == {
        'b/a.txt',
        'b/far/c.txt',
        'back/c.txt',
        'back/b/a.txt',
    }
    looping = {
        str(path.relative_to(tmp_path / 'top'))
        for path, reason in find_broken_links(tmp_path / 'top')
        if reason == LOOPS
    }
    assert looping == {
        *('b/here', 'b/up', 'b/far/b', 'b/far/far'),
        *('back/far', 'back/b/here', 'back/b/up', 'back/b/far'),
    }


@pytest.mark.parametrize(
    ('content', 'is_link'),
    [
        ('../pool/x', True),
        ('./x', True),
        ('a', True),  # what it leads to exists
        ('b', False),
        ('../pool/x\n', False),
        ('', False),
        ('../x' * 300, False),
        (b'\xff\xfe', False),
        ('a\0', False),
    ],
)
def test_text_in_place_of_a_link(tmp_path, content, is_link):
    (tmp_path / 'a').mkdir()
    content = content if isinstance(content, bytes) else content.encode()
    write_bytes(tmp_path / 'link', content)
    reason = f'is a text file in place of a link to {content.decode(errors="replace")}'
    assert broken_link(tmp_path / 'link') == (reason if is_link else None)
    found = dict(find_broken_links(tmp_path))
    assert found == ({tmp_path / 'link': reason} if is_link else {})
    assert broken_link(tmp_path / 'a') is broken_link(tmp_path / 'none') is None


def test_paths_are_kept_as_they_are_written(tmp_path, monkeypatch):
    (tmp_path / 'pool/deep').mkdir(parents=True)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/link').symlink_to('../pool/deep')
    monkeypatch.chdir(tmp_path)
    assert as_written(Path('data/./link')) == tmp_path / 'data/link'
    assert as_written(tmp_path / 'data/../data/link') == tmp_path / 'data/link'
    assert as_written(Path('data/link/..')) == tmp_path / 'pool'  # where it is
    assert as_written(Path('none/../data')) == tmp_path / 'data'


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
