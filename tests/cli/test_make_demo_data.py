import runpy
import sys

import cv2
import pytest
from support.commands import tool
from support.paths import ROOT

from convnext_backbone.demo_scenes import demo_scene, preview_sheet

SMALL = ('--train', '3', '--val', '2', '--size', '96')


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the file of tools/ in the test's folder; returns status and both streams."""

    def call(*args: str) -> tuple[int, str, str]:
        script = str(ROOT / 'tools' / 'make_demo_data.py')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *args])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(script, run_name='__main__')
        return end.value.code, *capsys.readouterr()

    return call


def test_writes_once_and_shows_progress(run, tmp_path):
    status, out, err = run(*SMALL, '--preview', 'out/sheet.png')
    assert status == 0, err
    assert 'written to data/demo: 3 + 2 pictures' in out
    assert '5/5 pictures' in err
    assert len(list((tmp_path / 'data/demo/images/training').iterdir())) == 3
    scenes = [demo_scene('train', k, size=96, seed=0) for k in range(3)]
    sheet = cv2.imread(str(tmp_path / 'out/sheet.png'))
    assert (sheet == preview_sheet(scenes)).all()

    status, out, err = run(*SMALL)
    assert status == 0
    assert 'complete already in data/demo' in out
    assert err == ''


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('--train', '0'), 'train=0'),
        (('--size', '5'), 'size=5'),
        (('.', *SMALL), 'mine.txt'),
    ],
)
def test_a_wrong_request_is_one_message(run, tmp_path, args, message):
    (tmp_path / 'mine.txt').write_text('mine')
    status, _, err = run(*args)
    assert status == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1
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
