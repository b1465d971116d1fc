"""Reads Darknet's obj.data, as CVAT exports its "YOLO 1.1".

It names a file of class names and, for each split, a list of images; the labels are
beside the images. Its paths often begin with a folder that is not there (``data/``).
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from convnext_backbone.datasets.formats.yolo_config import KEYS, Part
from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import list_folder


def read_darknet(root: Path) -> tuple[Path, dict, list[Part], list[Fault]] | None:
    """Read ``*.data`` of a folder.

    Returns:
        The file, its class names as the ``names`` of a data.yaml, the parts and the
        faults of images that are missing; None if there is no such file.

    Raises:
        UserError: The names cannot be found, or are not as many as ``classes`` says.
    """
    for file in list_folder(root):
        if file.suffix.lower() != '.data' or not file.is_file():
            continue
        pairs = _pairs(file)
        if 'names' not in pairs or not KEYS.keys() & pairs.keys():
            continue
        parts, faults = [], []
        for key, split in KEYS.items():
            if key not in pairs:
                continue
            listed = _locate(root, pairs[key])
            if listed is None:
                message = f'{key} is {pairs[key]}, which is not there: correct the path'
                level: Literal['error', 'warning']
                level = 'warning' if split == 'test' else 'error'
                faults.append(Fault(level, 'missing-folder', str(file), message, key))
                continue
            images, more = _listed(listed, root)
            parts.append(Part(split, root, root, images, beside=True))
            faults += more
        return file, {'names': _names(file, root, pairs)}, parts, faults
    return None


def _pairs(file: Path) -> dict[str, str]:
    """Return the entries ``key = value`` of a file."""
    text = file.read_text(encoding='utf-8-sig', errors='replace')
    pairs = (line.partition('=') for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _names(file: Path, root: Path, pairs: dict[str, str]) -> list[str]:
    path = _locate(root, pairs['names'])
    if path is None:
        raise UserError(
            f'{file}: names is {pairs["names"]}, which is not there: correct the path'
        )
    lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    names = [line.strip() for line in lines if line.strip()]
    stated = pairs.get('classes', str(len(names)))
    if stated != str(len(names)):
        raise UserError(
            f'{file}: classes is {stated}, but {path} has {len(names)} names: correct '
            f'one of them'
        )
    return names


def _listed(file: Path, root: Path) -> tuple[tuple[Path, ...], list[Fault]]:
    """Return the images that a list names, and faults of those not there."""
    images: dict[Path, None] = {}
    faults = []
    lines = file.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image = _locate(root, line.strip())
        if image is None:
            message = (
                f'lists {line.strip()}, which does not exist: add it (CVAT: export '
                f'with images), or remove the line'
            )
            id = f'line {number}'
            faults.append(Fault('error', 'missing-image', str(file), message, id))
        else:
            images[image] = None
    return tuple(images), faults


def _locate(root: Path, name: str) -> Path | None:
    """Return the file of a name, without its first folder if that is not there."""
    path = PurePosixPath(name.replace('\\', '/'))
    tried = [root / path, root.joinpath(*path.parts[1:])]
    return next((place for place in tried if place.is_file()), None)
