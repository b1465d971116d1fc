"""What the report reads from the runs of a training."""

import json
from unittest import mock

import pytest
from mmengine.logging import MMLogger
from support.commands import tool
from support.error_messages import only_error
from support.work_dirs import RECORD, TIMES, train_line, write_run

from convnext_backbone.tasks.report.history import read_history


@pytest.mark.parametrize('content', ['{"seconds": ', '[]'])
def test_a_damaged_record_is_told(tmp_path, content, capsys):
    folder = write_run(tmp_path, TIMES[0], [train_line(1)])
    (folder / 'run.json').write_text(content)
    assert tool('report', tmp_path) == 1
    assert str(folder / 'run.json') in only_error(capsys.readouterr().err)


def test_a_damaged_config_of_a_run_is_told(tmp_path, capsys):
    folder = write_run(tmp_path, TIMES[0], [train_line(1)], config='model = (')
    assert tool('report', tmp_path) == 1
    error = only_error(capsys.readouterr().err)
    assert f'config {folder}/vis_data/config.py cannot be read' in error


def test_a_broken_line_within_the_log_is_left_out_with_a_warning(tmp_path):
    folder = write_run(tmp_path, TIMES[0], [train_line(1)])
    with (folder / 'vis_data' / 'scalars.json').open('ab') as file:
        file.write(b'\xff{"loss"\n' + json.dumps(train_line(3)).encode())
    with mock.patch.object(MMLogger, 'warning') as warning:
        history = read_history(tmp_path)
    assert [line['step'] for line in history.train] == [1, 3]
    assert 'scalars.json, line 2, is not valid JSON' in warning.call_args.args[0]


def test_a_later_run_replaces_what_it_trained_again(tmp_path):
    first = [train_line(step, epoch=step // 20 + 1) for step in (10, 20, 35, 50)]
    first += [{'mAP': 0.1, 'step': 1}, {'mAP': 0.2, 'step': 2}]
    second = [train_line(step, epoch=step // 20 + 1, mark=1) for step in (30, 50, 60)]
    write_run(tmp_path, TIMES[0], first)
    folder = write_run(tmp_path, TIMES[1], [*second, {'mAP': 0.5, 'step': 2}])
    with (folder / 'vis_data' / 'scalars.json').open('a') as file:
        file.write('{"loss": 1, "st')  # cut short
    history = read_history(tmp_path)
    assert [line['step'] for line in history.train] == [10, 20, 30, 50, 60]
    assert [line.get('mark') for line in history.train] == [None, None, 1, 1, 1]
    assert [line['mAP'] for line in history.val] == [0.1, 0.5]
    assert history.config.parts[-3] == TIMES[1]
    assert history.by_epoch


def test_an_evaluation_is_no_run(tmp_path):
    write_run(tmp_path, TIMES[0], [train_line(1)])
    write_run(tmp_path, TIMES[1], [{'mIoU': 3.0, 'step': 0}])
    assert [run.folder.name for run in read_history(tmp_path).runs] == [TIMES[0]]


def test_times_are_recorded_or_estimated(tmp_path):
    folder = write_run(tmp_path, TIMES[0], [train_line(s) for s in (10, 20, 30)])
    history = read_history(tmp_path)
    assert history.runs[0].seconds == 40
    assert not history.is_timed
    (folder / 'run.json').write_text(json.dumps({**RECORD, 'finished': None}))
    history = read_history(tmp_path)
    assert history.runs[0].seconds == 3600
    assert history.is_timed
    assert not history.is_finished
