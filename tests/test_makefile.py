import subprocess

import pytest
from support.paths import ROOT


@pytest.mark.parametrize('target', ['demo', 'test', 'lint'])
def test_what_is_installed_is_not_installed_again(target):
    if not (ROOT / '.venv' / '.installed').exists():
        pytest.skip('not installed by make setup')
    plan = subprocess.run(
        ['make', '--dry-run', target], cwd=ROOT, capture_output=True, text=True
    )
    assert plan.returncode == 0
    assert '.venv/bin/' in plan.stdout
    assert 'pip install' not in plan.stdout


def test_another_python_is_refused_with_the_fix(tmp_path):
    (tmp_path / 'python').write_text('#!/bin/sh\nexit 1\n')
    (tmp_path / 'python').chmod(0o755)
    for name in ('Makefile', 'setup.py', 'pyproject.toml', 'constraints.txt'):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = subprocess.run(
        ['make', 'setup', f'PYTHON={tmp_path}/python'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert 'is not Python 3.10 to 3.14: PYTHON=python3.12 make setup' in done.stdout
    assert not (tmp_path / '.venv').exists()
