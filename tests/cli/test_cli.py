"""What holds for every command: errors, statuses, the list of commands."""

import argparse
import os
import re
import runpy
import subprocess
import sys

import pytest
from mmengine.registry import MODELS
from support.paths import ROOT

from convnext_backbone import UserError, cli
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import CheckpointError
from convnext_backbone.cli.arguments import add_config_arguments, add_run_arguments
from convnext_backbone.cli.errors import run
from convnext_backbone.foundation.errors import os_errors_told

CASCADE = 'configs/det/cascade_convnext_t_coco.py'


def fail(error: BaseException) -> int:
    raise error


def python(*argv: object, **env: str) -> subprocess.CompletedProcess:
    env = {**os.environ, 'PYTHONPATH': str(ROOT), **env}
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_an_error_of_the_user_is_one_message(capsys):
    assert run(lambda: ConvNeXt('tinny')) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith("error: arch='tinny' is unknown")
    assert len(err.splitlines()) == 1


def test_an_error_that_mmengine_passes_on_is_one_message(capsys):
    config = dict(type='convnext_backbone.ConvNeXt', arch='tinny')
    assert run(lambda: MODELS.build(config)) == 1
    assert "arch='tinny' is unknown" in capsys.readouterr().err


def test_a_broken_checkpoint_has_a_status_of_its_own(capsys):
    assert run(lambda: fail(CheckpointError('x.pth is cut off'))) == 2
    assert capsys.readouterr().err == 'error: x.pth is cut off\n'


def test_the_systems_refusal_of_a_users_path_is_one_message(capsys, tmp_path):
    def command() -> int:
        with os_errors_told('reading the list'):
            return len((tmp_path / 'missing').read_text())

    assert run(command) == 1
    told = f'error: reading the list: No such file or directory ({tmp_path}/missing)\n'
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    'defect',
    [
        ValueError('ours or not'),
        OSError('disk'),
        TypeError('__init__() got'),
        KeyError(),
    ],
)
def test_a_defect_keeps_its_traceback(defect):
    with pytest.raises(type(defect)):
        run(lambda: fail(defect))


def test_debug_shows_the_traceback_of_a_users_error(monkeypatch):
    with pytest.raises(UserError):
        run(lambda: fail(UserError('x')), debug=True)
    monkeypatch.setenv('CONVNEXT_DEBUG', '1')
    with pytest.raises(UserError):
        run(lambda: fail(UserError('x')))
    monkeypatch.setenv('CONVNEXT_DEBUG', '0')
    assert run(lambda: fail(UserError('x'))) == 1


def test_debug_is_an_option_of_a_command(in_root):
    assert cli.main(['print-config', 'det/none']) == 1
    with pytest.raises(UserError, match='det/none does not exist'):
        cli.main(['print-config', 'det/none', '--debug'])


def test_the_status_of_the_command_is_kept():
    assert run(lambda: 3) == 3


def test_an_interrupt_is_not_a_success(capsys):
    assert run(lambda: fail(KeyboardInterrupt())) == 130


def test_an_option_without_a_value_is_a_usage_error(capsys):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    add_run_arguments(parser)
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args([CASCADE, '--cfg-options', 'lr'])
    assert "takes KEY=VALUE, got 'lr'" in capsys.readouterr().err


@pytest.mark.parametrize('form', [['--help'], []])
def test_the_list_of_commands_comes_without_torch(form):
    code = (
        'import sys; from convnext_backbone.cli import main\n'
        f'try: status = main({form})\n'
        'except SystemExit as end: status = end.code\n'
        'assert not {"torch", "mmengine", "numpy"} & set(sys.modules)\n'
        'sys.exit(status)'
    )
    done = python('-c', code)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r'^  ([a-z-]+)  +\w.*$', done.stdout, re.MULTILINE)
    assert [name for name in listed if name in cli.COMMANDS] == list(cli.COMMANDS)


def test_every_command_has_its_module_and_its_file_in_tools():
    names = sorted(name.replace('-', '_') for name in cli.COMMANDS)
    assert sorted(path.stem for path in (ROOT / 'tools').glob('*.py')) == names
    modules = {path.stem for path in (ROOT / 'convnext_backbone/cli').glob('*.py')}
    assert modules - {'__init__', 'arguments', 'errors'} == set(names)


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_command_tells_what_it_takes(name, capsys):
    with pytest.raises(SystemExit, match='0'):
        cli.main([name, '--help'])
    out = capsys.readouterr().out
    assert out.startswith(f'usage: convnext-backbone {name} ')
    assert '--debug' in out


def test_a_misspelt_command_suggests_one(capsys):
    with pytest.raises(SystemExit, match='2'):
        cli.main(['trian'])
    assert "no command 'trian'; did you mean train?" in capsys.readouterr().err


def test_the_module_runs_commands(monkeypatch, capsys):
    argv = ['convnext_backbone', 'print-config', 'det/none']
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit, match='1'):
        runpy.run_module('convnext_backbone', run_name='__main__', alter_sys=True)
    told = capsys.readouterr().err
    assert told.startswith('error: config det/none does not exist')


def test_the_module_runs_scripts(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text('import sys, mmcv.ops\nprint(sys.argv[1:], __name__)\n')
    done = python('-m', 'convnext_backbone', script, 'a', '--b')
    assert done.stdout == "['a', '--b'] __main__\n", done.stderr
    done = python('-m', 'convnext_backbone', tmp_path / 'missing.py')
    assert done.returncode == 2
    assert 'there is no command' in done.stderr
