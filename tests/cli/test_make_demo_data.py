import os
import subprocess
import sys

import cv2
import pytest
from support.commands import tool
from support.paths import ROOT

from convnext_backbone.demo_scenes import demo_scene, preview_sheet


def run(*args, cwd):
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools/make_demo_data.py'), *args],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
    )


SMALL = ('--train', '3', '--val', '2', '--size', '96')


def test_writes_once_and_shows_progress(tmp_path):
    first = run(*SMALL, '--preview', 'out/sheet.png', cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert 'written to data/demo: 3 + 2 pictures' in first.stdout
    assert '5/5 pictures' in first.stderr
    assert len(list((tmp_path / 'data/demo/images/training').iterdir())) == 3
    scenes = [demo_scene('train', k, size=96, seed=0) for k in range(3)]
    sheet = cv2.imread(str(tmp_path / 'out/sheet.png'))
    assert (sheet == preview_sheet(scenes)).all()

    second = run(*SMALL, cwd=tmp_path)
    assert second.returncode == 0
    assert 'complete already in data/demo' in second.stdout
    assert second.stderr == ''


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('--train', '0'), 'train=0'),
        (('--size', '5'), 'size=5'),
        (('.', *SMALL), 'mine.txt'),
    ],
)
def test_a_wrong_request_is_one_message(tmp_path, args, message):
    (tmp_path / 'mine.txt').write_text('mine')
    failed = run(*args, cwd=tmp_path)
    assert failed.returncode == 1
    assert message in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['mine.txt']


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['file/data'], 'creating the folder {}/file: Not a directory'),
        (['file'], '{}/file is a file: give a folder to create'),
        (
            ['data', '--preview', '{}/file/a.png'],
            'writing {}/file/a.png: Not a directory ({}/file)',
        ),
        (['data', '--preview', '{}/data'], 'writing {}/data: Is a directory'),
    ],
)
def test_a_place_that_cannot_be_written_is_told(
    tmp_path, monkeypatch, capsys, argv, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').write_text('mine')
    argv = [arg.replace('{}', str(tmp_path)) for arg in argv]
    assert tool('make-demo-data', *argv, *SMALL) == 1
    told = message.replace('{}', str(tmp_path))
    assert capsys.readouterr().err.splitlines()[-1] == f'error: {told}'
    assert (tmp_path / 'file').read_text() == 'mine'
