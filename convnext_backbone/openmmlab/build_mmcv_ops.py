"""Compiles the extension of the installed mmcv, for the ops that are not served.

The package serves nms, soft-nms, RoIAlign and the focal loss from torchvision.
Deformable convolutions, rotated boxes and the like need ``mmcv._ext``, which has
to be built against the installed torch. mmcv's setup.py asks for an older C++
standard than recent torch headers accept and places its flag last, where neither
CXXFLAGS nor NVCC_PREPEND_FLAGS override it, so the flag is replaced in the
unpacked source.

With a CUDA build of torch that sees a GPU (or with FORCE_CUDA=1) the CUDA kernels
are compiled too. MAX_JOBS limits the parallel compilations, which take up to 2 GB
of memory each; the default is one per CPU.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from convnext_backbone.foundation.errors import UserError

STANDARDS = {'201402': 14, '201703': 17, '202002': 20, '202302': 23}
CHECK = """
import torch
import mmcv._ext
from mmcv.ops import nms
boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29]])
assert nms(boxes, torch.tensor([.9, .8, .7]), .5)[1].tolist() == [0, 2]
print(mmcv._ext.__file__)
"""


def build_mmcv_ops() -> None:
    """Build and install the extension, or say why it cannot be built.

    Raises:
        UserError: A tool is missing, or building fails.
    """
    extension = working_extension()
    if extension:
        print(f'mmcv has a working compiled extension: {extension}')
        return
    name, version = installed_mmcv()
    standard = required_standard()
    compiler = check_tools(standard)
    jobs = os.environ.setdefault('MAX_JOBS', str(len(os.sched_getaffinity(0))))
    print(
        f'Compiling the ops of {name} {version} with {compiler} as C++{standard}, '
        f'{jobs} files at a time. Two cores take about 20 minutes, without CUDA.',
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix='mmcv-ops-') as folder:
        source = unpack(name, version, Path(folder))
        raise_standard(source / 'setup.py', standard)
        wheel = build_wheel(source, Path(folder))
        pip('install', '--force-reinstall', '--no-deps', str(wheel))
    extension = working_extension()
    if not extension:
        # Outside the try-run above, so that its error is seen.
        subprocess.run([sys.executable, '-c', CHECK], check=False)
        raise UserError(
            f'{name} was compiled, but its extension does not work: see above.'
        )
    print(f'Installed {extension}: convnext_backbone now leaves mmcv.ops to it.')


def working_extension() -> str | None:
    """Path of the compiled extension if it loads and works, else None."""
    result = subprocess.run(
        [sys.executable, '-c', CHECK], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else None


def installed_mmcv() -> tuple[str, str]:
    """Name and version of the distribution that provides the package mmcv."""
    names = importlib.metadata.packages_distributions().get('mmcv')
    if not names:
        raise UserError(
            'mmcv is not installed in this environment: install onedl-mmcv or '
            'mmcv-lite first.'
        )
    return names[0], importlib.metadata.version(names[0])


def required_standard() -> int:
    """The C++ standard that torch's own headers insist on, such as 20."""
    # Read from the file, since importing torch takes seconds.
    root = Path(str(importlib.metadata.distribution('torch').locate_file('torch')))
    header = root / 'include/ATen/ATen.h'
    match = re.search(r'__cplusplus < (\d+)L', header.read_text(encoding='utf-8'))
    if not match or match.group(1) not in STANDARDS:
        raise UserError(f'{header} does not say which C++ standard torch needs.')
    return STANDARDS[match.group(1)]


def check_tools(standard: int) -> str:
    """Name of the C++ compiler, after checks that it can build extensions."""
    compiler = os.environ.get('CXX', 'c++')
    if not shutil.which(compiler.split()[0]):
        raise UserError(f'No C++ compiler {compiler!r}: install g++ or set CXX.')
    command = [*compiler.split(), f'-std=c++{standard}', '-fsyntax-only', '-x', 'c++']
    if subprocess.run([*command, '-'], input=b'', check=False).returncode:
        raise UserError(
            f'{compiler} does not know C++{standard}: set CXX to a newer one.'
        )
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    if not header.exists():
        raise UserError(
            f'{header} is missing: install the development files of Python.'
        )
    # A venv that was not activated has its programs beside python only.
    scripts = Path(sys.executable).parent
    os.environ['PATH'] = f'{scripts}{os.pathsep}{os.environ["PATH"]}'
    if not shutil.which('ninja'):
        print('No ninja, without which files compile one by one: installing it.')
        pip('install', 'ninja')
    return compiler


def unpack(name: str, version: str, folder: Path) -> Path:
    """Downloads the source distribution into ``folder``; returns its root."""
    pip(
        *('download', '--no-deps', '--no-build-isolation', '--no-binary', name),
        *('--dest', str(folder), f'{name}=={version}'),
    )
    (archive,) = folder.glob('*.tar.gz')
    with tarfile.open(archive) as tar:
        # Python 3.10 and 3.11 have filters from their later releases on.
        if hasattr(tarfile, 'data_filter'):
            tar.extractall(folder, filter='data')
        else:
            tar.extractall(folder)
    return folder / archive.name.removesuffix('.tar.gz')


def raise_standard(setup: Path, standard: int) -> None:
    """Replaces every older C++ standard that ``setup`` passes to a compiler."""
    text = setup.read_text(encoding='utf-8')
    older = r'([-/]std[=:]c\+\+)(\d+)'

    def newer(match: re.Match) -> str:
        return f'{match[1]}{max(int(match[2]), standard)}'

    setup.write_text(re.sub(older, newer, text), encoding='utf-8')


def build_wheel(source: Path, folder: Path) -> Path:
    """Compiles ``source`` into a wheel in ``folder``, showing the progress."""
    os.environ['MMCV_WITH_OPS'] = '1'  # the original mmcv's setup.py reads it
    pip(
        *('wheel', '-v', '--no-deps', '--no-build-isolation'),
        *('--wheel-dir', str(folder), str(source)),
    )
    (wheel,) = folder.glob('*.whl')
    return wheel


def pip(*arguments: str) -> None:
    """Runs pip of this environment and ends the program when it fails."""
    command = [sys.executable, '-m', 'pip', *arguments]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f'`pip {arguments[0]}` failed: see above.')
