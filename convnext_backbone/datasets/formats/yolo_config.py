"""Reads YOLO's data.yaml: class names, and where images are."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from convnext_backbone.datasets.records import Fault, Level
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import list_folder

KEYS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}


@dataclass(frozen=True)
class Part:
    """Images of a split and the folder of their labels.

    Attributes:
        listed: The images, where a text file lists them; None for all in the folder.
        beside: Whether the labels of the listed images are beside them.
    """

    split: str
    images: Path
    labels: Path
    listed: tuple[Path, ...] | None = None
    beside: bool = False


def read_config(root: Path) -> tuple[Path, dict | None]:
    """Return data.yaml and its content, None if there is none that states names.

    Raises:
        UserError: It is not valid YAML, contradicts itself, or another file has other
            names.
    """
    found: dict[Path, dict] = {}
    for file in list_folder(root):
        if file.suffix not in ('.yaml', '.yml'):
            continue
        try:
            text = file.read_text(encoding='utf-8-sig')
            content = yaml.safe_load(text)
            as_text = yaml.load(text, yaml.BaseLoader)  # no more than str, list, dict
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f'{file} is not valid YAML: {error}') from error
        if isinstance(content, dict) and 'names' in content:
            content['names'] = _names_as_text(content['names'], as_text['names'])
            found[file] = content
    if not found:
        return root / 'data.yaml', None
    file, content = next(iter(found.items()))
    for other, rival in found.items():
        if rival['names'] != content['names']:
            raise UserError(
                f'{file} and {other} state other class names: remove the wrong file'
            )
    count, stated = len(content['names'] or ()), content.get('nc')
    if isinstance(stated, int) and stated != count:
        raise UserError(
            f'{file}: nc is {stated}, but names has {count} classes: correct one of '
            f'them'
        )
    return file, content


def _names_as_text(names: object, as_text: object) -> object:
    """Return class names as they are written: yes, no, on, 1.10 are text.

    Args:
        names: What YAML 1.1 makes of them, such as True for yes.
        as_text: The same with every scalar as text.
    """
    if not isinstance(names, dict):
        return as_text if isinstance(names, list) else names
    values = list(as_text.values()) if isinstance(as_text, dict) else []
    if len(values) != len(names):  # << merges another mapping
        return names
    return dict(zip(names, values, strict=True))


def stated_folders(file: Path, config: dict | None) -> tuple[list[Part], list[Fault]]:
    """Return the parts that data.yaml states, and faults of those not there."""
    parts, faults = [], []
    config, root = config or {}, file.parent
    base = root / str(config.get('path') or '.')
    for key, split in KEYS.items():
        places = config.get(key) or []
        for place in places if isinstance(places, list) else [places]:
            place = str(place)
            tried = [base / place, root / place, root / place.lstrip('./')]
            found = next((path for path in tried if path.exists()), None)
            if found is None:
                message = (
                    f'{key} is {place}, which is neither in {base} nor in {root}: '
                    f'correct the path, or remove the line'
                )
                level: Level = 'warning' if split == 'test' else 'error'
                faults.append(Fault(level, 'missing-folder', str(file), message, key))
            elif found.is_dir():
                images = found.resolve()
                parts.append(Part(split, images, labels_of(images)))
            else:
                listed, more = _listed(found, base)
                folder = found.parent
                parts.append(Part(split, folder, folder, listed))
                faults += more
    return parts, faults


def _listed(file: Path, base: Path) -> tuple[tuple[Path, ...], list[Fault]]:
    """Return the images that a text file lists, and faults of those not there."""
    images: dict[Path, None] = {}  # ordered, each image once
    faults = []
    lines = file.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        tried = (file.parent / name, base / name)
        image = next((path for path in tried if path.is_file()), None)
        if image is None:
            message = f'lists {name}, which does not exist: correct it, or remove it'
            id = f'line {number}'
            faults.append(Fault('error', 'missing-image', str(file), message, id))
        else:
            images[image.resolve()] = None
    return tuple(images), faults


def labels_of(images: Path) -> Path:
    """Return where labels are: 'labels' for the last 'images' in the path."""
    parts = list(images.parts)
    for i in reversed(range(len(parts))):
        if parts[i].lower() == 'images':
            return Path(*parts[:i], 'labels', *parts[i + 1 :])
    return images
