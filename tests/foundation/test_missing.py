"""What is told when a package or a system library is missing."""

import os
import re
import subprocess
import sys
from importlib.metadata import requires

import pytest
from support.paths import ROOT

from convnext_backbone.foundation.missing import EXTRAS, advice


@pytest.fixture
def broken_cv2(tmp_path):
    """A folder with an opencv-python whose library is missing."""
    text = "ImportError('libGL.so.1: cannot open shared object file')"
    (tmp_path / 'cv2').mkdir()
    (tmp_path / 'cv2' / '__init__.py').write_text(f'raise {text}\n')
    return tmp_path


def run(folder, *command):
    env = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{ROOT}'}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=env
    )


def test_a_missing_system_library_is_told_at_import(broken_cv2):
    done = run(broken_cv2, '-c', 'import convnext_backbone, mmcv')
    last = done.stderr.splitlines()[-1]
    assert last.startswith('ImportError: libGL.so.1: cannot open shared object file: ')
    assert last.endswith('--force-reinstall --no-deps opencv-python-headless')


def test_a_missing_system_library_ends_a_command_with_one_message(broken_cv2):
    argv = (
        '-m',
        'convnext_backbone',
        'infer',
        'CONFIG',
        'x.pth',
        'x',
        '--out-dir',
        'o',
    )
    done = run(broken_cv2, *argv)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: libGL.so.1: cannot open')
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('name', 'extra'), [('supervision.annotators', 'tools'), ('mmdet', 'onedl')]
)
def test_a_missing_package_names_its_extra(name, extra):
    error = ModuleNotFoundError(f'No module named {name!r}', name=name)
    assert f"pip install 'convnext_backbone[{extra}]'" in advice(error)


def test_other_failures_are_not_explained():
    assert advice(ModuleNotFoundError("No module named 'mine'", name='mine')) is None
    assert advice(ImportError('cannot import name x', name='mmdet')) is None


def test_the_extras_exist():
    declared = set()
    for requirement in requires('convnext_backbone') or ():
        declared |= set(re.findall(r'extra == ["\'](\w+)["\']', requirement))
    assert set(EXTRAS.values()) <= declared
