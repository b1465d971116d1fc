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
    """

    split: str
    images: Path
    labels: Path
    listed: tuple[Path, ...] | None = None


def read_config(root: Path) -> tuple[Path, dict | None]:
    """Return data.yaml and its content, None if there is none that states names.

    Raises:
        UserError: It is not valid YAML.
    """
    for file in list_folder(root):
        if file.suffix not in ('.yaml', '.yml'):
            continue
        try:
            content = yaml.safe_load(file.read_text(encoding='utf-8-sig'))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f'{file} is not valid YAML: {error}') from error
        if isinstance(content, dict) and 'names' in content:
            return file, content
    return root / 'data.yaml', None


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
