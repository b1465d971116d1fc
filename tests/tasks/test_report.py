"""The report of a training as a page: what it holds, and what it refuses."""

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from support.commands import DET, SEG, tool
from support.error_messages import only_error
from support.work_dirs import RECORD, TIMES, make_work_dir

from convnext_backbone import checkpoints
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.runner import TestRunner
from convnext_backbone.tasks.report import (
    facts,
    page,
    pictures,
    write_report,
)
from convnext_backbone.tasks.report.collect_findings import collect_findings
from convnext_backbone.tasks.report.history import read_history


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('demo') / 'data'
    make_demo_data(root, train=3, val=3, size=128)
    return root


def managers() -> list[dict]:
    kinds = (MMLogger, MessageHub, DefaultScope, Visualizer)
    return [dict(kind._instance_dict) for kind in kinds]


class Page(HTMLParser):
    """Collects the sections, the ids, the addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections, self.ids, self.addresses, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attrs = dict(attrs)
        if 'id' in attrs:
            self.ids.append(attrs['id'])
        if tag == 'section':
            self.sections.append(attrs['id'])
        self.addresses += [attrs[n] for n in ('src', 'href') if n in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.mark.parametrize(('config', 'metric'), [(DET, 'Mask AP'), (SEG, 'mIoU')])
def test_the_page_holds_all_and_nothing_else_changes(tmp_path, demo, config, metric):
    work_dir = make_work_dir(tmp_path / 'run', demo, config)
    before, files = managers(), sorted(work_dir.rglob('*'))
    path = write_report(work_dir)
    assert path == work_dir / 'report.html'
    assert managers() == before
    assert sorted(work_dir.rglob('*')) == sorted([*files, path])
    text = path.read_text(encoding='utf-8')
    read = Page(text)
    sections = ['summary', 'training', 'classes', 'confusion', 'examples', 'timing']
    sections += ['setup', 'environment', 'commands']
    assert [s for s in read.sections if s != 'precision'] == sections
    assert ('precision' in read.sections) == (config == DET)
    assert len(read.ids) == len(set(read.ids))
    assert all(a.startswith(('data:', '#')) for a in read.addresses)
    assert sum(a.startswith('data:image/jpeg') for a in read.addresses) == 6
    words = ' '.join(read.words)
    assert metric in words
    assert 'best_of_all_iter_3.pth' in ''.join(read.words)
    assert '3 images to train on, 3 to evaluate' in words
    assert '1 h 0 min' in words
    assert RECORD['command'] in words
    assert f'{TIMES[0]}/vis_data/config.py {work_dir} IMAGE_OR_FOLDER' in words
    assert 'nan' not in read.words
    assert facts.environment(read_history(work_dir))[1][1] in read.words


@pytest.mark.parametrize(
    ('config', 'names', 'scale'),
    [
        (DET, {'Mask AP': 'coco/segm_mAP', 'Box AP': 'coco/bbox_mAP'}, 100),
        (SEG, {'mIoU': 'mIoU', 'Mean accuracy': 'mAcc', 'Pixel accuracy': 'aAcc'}, 1),
    ],
)
def test_the_numbers_are_those_of_the_toolboxes(tmp_path, demo, config, names, scale):
    work_dir = make_work_dir(tmp_path / 'run', demo, config)
    checkpoint = str(work_dir / 'best_of_all_iter_3.pth')
    cfg = Config.fromfile(read_history(work_dir).config)
    ours, _, _ = collect_findings(cfg, checkpoint)
    cfg.work_dir = str(tmp_path / 'other')
    runner = TestRunner.from_cfg(cfg)
    checkpoints.load(runner.model, checkpoint, strict=True)
    theirs = runner.test()
    for mine, their in names.items():
        expected = pytest.approx(scale * theirs[their], abs=0.051)
        assert ours.metrics[mine] == expected
    if config == DET:  # the data samples' ground truth serves as well as the json
        cfg.val_evaluator = dict(type='VOCMetric')
        without, _, _ = collect_findings(cfg, checkpoint)
        assert [row[:2] for row in without.rows] == [row[:2] for row in ours.rows]
        assert without.matrix.counts.tolist() == ours.matrix.counts.tolist()


def test_a_training_without_a_checkpoint_has_a_page_that_says_so(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG, trained=False)
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert 'the work dir holds no checkpoint yet' in text
    assert Page(text).sections == [
        'summary', 'training', 'timing', 'setup', 'environment', 'commands'
    ]  # fmt: skip
    assert 'the best that was logged during training' in text
    assert f'convnext-backbone train {work_dir}/{TIMES[0]}/vis_data/config.py' in text


def test_a_training_that_logged_nothing_has_a_page(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, DET, trained=False)
    (work_dir / TIMES[0] / 'vis_data' / 'scalars.json').unlink()
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert 'No line of training was logged' in text
    assert 'was not evaluated while it ran' in text


def test_data_that_is_gone_is_told_in_the_page(tmp_path):
    make_demo_data(tmp_path / 'data', train=1, val=1, size=96)
    work_dir = make_work_dir(tmp_path / 'run', tmp_path / 'data', SEG)
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert re.search('Not evaluated: val data: .* does not exist', text)
    assert 'The training images are not counted: reading the training data' in text
    assert '- images to train on' in text


@pytest.mark.parametrize('made', ['nothing', 'empty'])
def test_another_folder_is_refused_by_name(tmp_path, made):
    if made == 'empty':
        (tmp_path / 'run').mkdir()
    with pytest.raises(ValueError, match=f'{tmp_path}/run .*--work-dir of a training'):
        write_report(tmp_path / 'run')


def test_a_wrong_checkpoint_leaves_the_old_page(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG)
    (work_dir / 'report.html').write_text('old')
    with pytest.raises(ValueError, match=r'none.pth'):
        write_report(work_dir, str(work_dir / 'none.pth'))
    assert (work_dir / 'report.html').read_text() == 'old'
    assert not list(work_dir.glob('*.part'))


def test_a_page_that_cannot_be_written_is_told(tmp_path, demo, capsys):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG, trained=False)
    (work_dir / 'report.html').mkdir()
    assert tool('report', work_dir) == 1
    assert f'writing {work_dir}/report.html: ' in only_error(capsys.readouterr().err)


def test_a_validation_image_that_is_gone_is_told(tmp_path, capsys):
    make_demo_data(tmp_path / 'data', train=1, val=1, size=96)
    work_dir = make_work_dir(tmp_path / 'run', tmp_path / 'data', DET)
    for image in (tmp_path / 'data' / 'images' / 'validation').iterdir():
        image.unlink()
    assert tool('report', work_dir) == 1
    error = only_error(capsys.readouterr().err)
    assert 'evaluating on the validation data: ' in error
    assert image.name in error


def test_an_image_that_is_damaged_is_told(tmp_path):
    file = tmp_path / 'damaged.png'
    with pytest.raises(UserError, match=r'damaged.png'):
        pictures.load(str(file))
    file.write_text('no picture')
    with pytest.raises(UserError, match=r'damaged.png cannot be read'):
        pictures.load(str(file))


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(3.21, '3.2 s'), (59, '59 s'), (3599, '1 h 0 min'), (200000, '2 d 7 h')],
)
def test_durations(seconds, text):
    assert page.duration(seconds) == text


def test_undefined_numbers_are_a_dash():
    assert page.number(float('nan')) == '-'
    assert page.number(None) == '-'
    assert page.number(12.345) == '12.3'


def test_commands_leave_out_the_home_folder(monkeypatch):
    monkeypatch.setenv('HOME', '/home/somebody')
    words = ['python', '/home/somebody/a b.py', '--x=/home/somebody/y', '/home/other/z']
    text = facts.portable([*words, "it's"])
    assert 'somebody' not in text
    assert text == (
        'python "$HOME/a b.py" "--x=$HOME/y" /home/other/z ' + "'it'\"'\"'s'"
    )


def test_the_tool_writes_the_page(tmp_path, demo, capsys):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG)
    other = work_dir / 'other.pth'
    (work_dir / 'best_of_all_iter_3.pth').rename(other)
    assert tool('report', work_dir, '--checkpoint', other) == 0
    assert 'report.html' in capsys.readouterr().out
    assert f'{other} IMAGE_OR_FOLDER' in (work_dir / 'report.html').read_text('utf-8')
    assert tool('report', tmp_path / 'none') == 1
    assert capsys.readouterr().err.startswith('error: work dir')


def test_pictures_have_one_size(tmp_path):
    for name, shape in (('small', (40, 20)), ('large', (600, 1200))):
        path = str(tmp_path / f'{name}.png')
        cv2.imwrite(path, np.full((*shape, 3), 90, np.uint8))
        assert max(pictures.load(path).shape) == 560
