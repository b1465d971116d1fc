"""The wheel, installed into an environment of its own, used far from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from support.commands import DET, SMALL
from support.paths import ROOT

from convnext_backbone.cli import COMMANDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def environment(tmp_path_factory) -> Path:
    """The scripts of a fresh environment that holds the wheel.

    What the wheel depends on is found in this interpreter's environment: installing
    gigabytes again would prove nothing more. The checkout is not found there, for an
    editable install is a file of its own that such a path does not run.
    """
    folder = tmp_path_factory.mktemp('wheel')
    pip = [sys.executable, '-m', 'pip', '-q']
    command = ['wheel', '--no-deps', '--no-build-isolation', '-w', folder, ROOT]
    subprocess.run([*pip, *command], check=True)
    (wheel,) = folder.glob('*.whl')
    venv.create(folder / 'env', symlinks=True)
    scripts = folder / 'env' / 'bin'
    target = [f'--python={scripts / "python"}', 'install', '--no-deps', wheel]
    subprocess.run([*pip, *target], check=True)
    paths = {'base': str(folder / 'env'), 'platbase': str(folder / 'env')}
    site = Path(sysconfig.get_path('purelib', 'venv', paths))
    (site / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
    return scripts


@pytest.fixture
def run(environment, tmp_path):
    """Run a program of the environment in another folder."""
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    env['OMP_NUM_THREADS'] = '1'

    def call(program: str, *argv: object) -> str:
        done = subprocess.run(
            [environment / program, *map(str, argv)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return call


def test_the_installed_package_is_the_wheels(run, environment):
    code = 'import convnext_backbone as p; print(p.__file__)'
    assert run('python', '-c', code).startswith(str(environment.parent))


def test_the_program_lists_the_commands(run):
    out = run('convnext-backbone', '--help')
    assert all(f'\n  {name} ' in out for name in COMMANDS)


@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_tells_what_it_takes(run, name):
    out = run('convnext-backbone', name, '--help')
    assert out.startswith(f'usage: convnext-backbone {name} ')


def test_a_training_with_its_report(run, demo, tmp_path):
    name = DET.removeprefix('configs/').removesuffix('.py')
    options = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1', *SMALL]
    argv = [name, '--data-root', demo, '--work-dir', 'work', '--cfg-options', *options]
    run('convnext-backbone', 'train', *argv)
    assert list((tmp_path / 'work').glob('best_*.pth'))
    assert '<style>' in (tmp_path / 'work' / 'report.html').read_text()


def test_the_module_runs_commands_too(run):
    out = run('python', '-m', 'convnext_backbone', 'print-config', DET.split('/', 1)[1])
    assert 'CascadeRCNN' in out
