"""The command: its rows, its table, its chart, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
import torch
from support.commands import tool
from support.error_messages import only_error

from convnext_backbone.benchmark import comparison, detector_step, machine, memory
from convnext_backbone.benchmark.arch_specs import DETECTION_RATES, find_archs
from convnext_backbone.benchmark.peers import OURS, PEERS
from convnext_backbone.benchmark.results import Row

ARCHS = ', '.join(DETECTION_RATES)
KEYS = {
    'what',
    'arch',
    'drop_path',
    'peer',
    'metric',
    'ours',
    'theirs',
    'ratio',
    'with_cp',
    'variant',
    'batch',
    'shape',
    'threads',
    'spread_ours',
    'spread_theirs',
}


def run_tool(*argv: object) -> int:
    return tool('benchmark', *argv)


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[list[dict], str, Path]:
    """Rows, what was printed, and the chart of a run that starts no processes."""
    folder = tmp_path_factory.mktemp('benchmark')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, 'SECONDS', 0.01)
        patch.setattr(comparison, 'peak_memory', memory.run)
        printed: list[str] = []
        patch.setattr('builtins.print', lambda *a, **k: printed.append(str(a[0])))
        argv = ['--archs', 'atto', '--against', 'mmpretrain,torchvision', '--rounds', 2]
        argv += ['--shape', 64, '--json', folder / 'rows.json']
        assert run_tool(*argv, '--out', folder / 'charts' / 'chart.png') == 0
    rows = json.loads((folder / 'rows.json').read_text())
    return rows, '\n'.join(printed), folder / 'charts' / 'chart.png'


def test_rows_of_a_run(ran):
    rows, printed, chart = ran
    assert all(set(row) >= KEYS for row in rows)
    keys = ('what', 'variant', 'metric', 'drop_path', 'with_cp')
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ('forward', 'eval', 'seconds', 0, False),
        ('forward', 'train', 'seconds', 0.1, False),
        ('forward', 'train', 'seconds', 0.1, 'selective'),
        ('forward_backward', 'train', 'seconds', 0.1, False),
        ('forward_backward', 'train', 'seconds', 0.1, 'selective'),
        ('forward_backward', 'train', 'peak_mb', 0.1, False),
        ('forward_backward', 'train', 'peak_mb', 0.1, 'selective'),
    ]
    for row in rows:
        assert (row['arch'], row['peer'], row['batch']) == ('atto', 'mmpretrain', 2)
        assert row['shape'] == [64, 64]  # one number is both
        assert row['threads'] == torch.get_num_threads()
        assert row['ratio'] == pytest.approx(row['ours'] / row['theirs'])
    assert all(0 < row['gemm_ours'] < 1.5 for row in rows[:5])
    assert re.search(r'torchvision +\| not available', printed)
    assert chart.read_bytes().startswith(b'\x89PNG')


@pytest.mark.slow
def test_a_larger_model_takes_more_memory():
    peers = ['mmpretrain']
    atto, theirs, tiny = (
        memory.peak_memory(
            memory.Job(name, arch, 0.1, with_cp, 2, (64, 64), 1, 'cpu', peers)
        )
        for name, arch, with_cp in (
            (OURS, *find_archs(['atto']), 'selective'),
            ('mmpretrain', *find_archs(['atto']), True),
            (OURS, *find_archs(['tiny']), False),
        )
    )
    for peak in (atto, theirs, tiny):
        assert peak.peak_mb > tiny.base_mb - 30
    # 25 M parameters more, and their gradients
    assert tiny.peak_mb - atto.peak_mb > 2 * 25 * 4 * 0.8
    assert tiny.peak_mb < 4096


def test_an_interrupted_run_keeps_the_archs_that_are_done(tmp_path, monkeypatch, ran):
    fields = {k: v for k, v in ran[0][0].items() if k != 'ratio'}

    def compare(options):
        yield [Row(**fields)], []
        raise KeyboardInterrupt

    monkeypatch.setattr('convnext_backbone.cli.benchmark.compare', compare)
    path = tmp_path / 'rows.json'
    argv = ['--json', str(path), '--out', str(tmp_path / 'chart.png')]
    assert run_tool(*argv) == 130
    assert json.loads(path.read_text()) == ran[0][:1]


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['--against', 'meta,keras'], f'--against keras: .*{", ".join(PEERS)}'),
        (
            ['--archs', 'tiny', 'tinny'],
            f'--archs tinny: .*{ARCHS}',
        ),
        (['--shape', '16', '64'], '--shape 16 64: .* at least 32 pixels'),
        (['--rounds', '0'], '--rounds 0: expected a positive number'),
        (['--batch', '-1'], '--batch -1: expected a positive number'),
        (['--threads', '0'], '--threads 0: expected a positive number'),
        (['--drop-path', '1'], '--drop-path 1.0: expected probabilities'),
        (['--device', 'gpu0'], '--device gpu0: .* expected cpu'),
        (['--device', 'meta'], '--device meta: .* expected cpu'),
        (['--archs', ','], '--archs: expected at least one name'),
        (['--against', ','], '--against: expected at least one name'),
        (['--out', 'chart.pgf'], '--out chart.pgf: expected a file that ends in'),
        (['--what', 'step'], '--what step needs images: give --data-root'),
        (
            ['--what', 'step', '--data-root', '/no'],
            '/no: .* does not exist',
        ),
    ],
)
def test_what_is_not_valid_is_told(argv, message, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(detector_step.DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert run_tool(*argv) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)


@pytest.mark.parametrize(
    ('name', 'reason'),
    [('file/chart.png', 'exists|Not a directory'), ('c' * 300 + '/c.png', 'too long')],
)
def test_a_chart_that_cannot_be_written_is_told_before_anything_runs(
    name, reason, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('convnext_backbone.cli.benchmark.compare', None)
    (tmp_path / 'file').touch()
    assert run_tool('--out', tmp_path / name) == 1
    error = only_error(capsys.readouterr().err)
    assert f'writing --out {tmp_path / name}: ' in error
    assert re.search(reason, error)


@pytest.mark.parametrize('option', ['--json', '--out'])
def test_a_folder_in_place_of_a_file_is_told_and_the_table_printed(
    option, tmp_path, capsys, monkeypatch, ran
):
    fields = {k: v for k, v in ran[0][0].items() if k != 'ratio'}
    monkeypatch.setattr(
        'convnext_backbone.cli.benchmark.compare',
        lambda options: iter([([Row(**fields)], [])]),
    )
    files = {'--json': tmp_path / 'rows.json', '--out': tmp_path / 'chart.png'}
    files[option].mkdir()
    assert run_tool(*(word for pair in files.items() for word in pair)) == 1
    out, err = capsys.readouterr()
    assert str(files[option]) in only_error(err)
    assert 'mmpretrain' in out
    assert 'Chart: ' not in out


def test_annotations_of_other_data_are_told(tmp_path, capsys):
    folder = tmp_path / 'annotations'
    folder.mkdir()
    (tmp_path / 'train2017').mkdir()
    (folder / 'instances_train2017.json').write_text('{"images": [')
    argv = ['--what', 'step', '--data-root', tmp_path, '--out', tmp_path / 'c.png']
    assert run_tool(*argv) == 1
    assert 'instances_train2017.json' in only_error(capsys.readouterr().err)


def test_a_shape_of_three_numbers_is_told(capsys):
    with pytest.raises(SystemExit):
        run_tool('--shape', 3, 64, 64)
    assert '--shape 3 64 64: expected height and width' in capsys.readouterr().err


def test_an_unknown_comparison_is_told_with_those_that_are_known(capsys):
    with pytest.raises(SystemExit):
        run_tool('--what', 'outfer')
    error = capsys.readouterr().err
    assert all(what in error for what in ('backbone', 'step', 'infer'))
