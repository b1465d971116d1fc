"""Looks into the built wheel and sdist for what a build can lose without a word."""

import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL = (
    'convnext_backbone/.mim/configs/det/cascade_convnext_t_coco.py',
    'convnext_backbone/.mim/configs/seg/_base_/runtime.py',
    'convnext_backbone/py.typed',
    'page.html.j2',
    'style.css',
    'licenses/LICENSE',
)
SDIST = (
    'configs/det/cascade_convnext_t_coco.py',
    'constraints.txt',
    'constraints-oldest.txt',
    'docs/demo.jpg',
    'page.html.j2',
    'setup.py',
    'tools/train.py',
)


def lost(names: list[str], wanted: tuple[str, ...]) -> list[str]:
    """Those of `wanted` that no name in the archive ends with."""
    return [end for end in wanted if not any(n.endswith('/' + end) for n in names)]


def strangers(names: list[str]) -> list[str]:
    """What has no business in either archive."""
    return [n for n in names if n.endswith('.pyc') or '/__pycache__' in n]


def main(folder: Path) -> int:
    """Check the one wheel and the one sdist in `folder`; the exit status."""
    (wheel,) = folder.glob('*.whl')
    (sdist,) = folder.glob('*.tar.gz')
    in_wheel = ['/' + name for name in zipfile.ZipFile(wheel).namelist()]
    with tarfile.open(sdist) as archive:
        in_sdist = archive.getnames()
    faults = [f'{wheel.name} lacks {end}' for end in lost(in_wheel, WHEEL)]
    faults += [f'{sdist.name} lacks {end}' for end in lost(in_sdist, SDIST)]
    faults += [f'{name} is in an archive' for name in strangers(in_wheel + in_sdist)]
    packages = {name.split('/')[1] for name in in_wheel}
    if len(packages) != 2:
        faults.append(f'{wheel.name} installs more than one package: {packages}')
    print(*faults or [f'{wheel.name} and {sdist.name} are complete'], sep='\n')
    return bool(faults)


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1])))
