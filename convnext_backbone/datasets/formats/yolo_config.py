"""Reads YOLO's data.yaml: class names, and where images are."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from convnext_backbone.datasets.formats.layout import folder_named, list_files
from convnext_backbone.datasets.records import Fault, Level
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import as_written, broken_link, list_folder

NAME_FILES = ('classes.txt', 'obj.names', 'classes.names', 'labels.txt')
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
            found = list(dict.fromkeys(as_written(p) for p in tried if p.exists()))
            if len(found) > 1 and not found[0].samefile(found[1]):
                message = (
                    f'{key} is {place}, which is taken for {found[0]} and may be '
                    f'{found[1]}: correct the path, or move one of them'
                )
                fault = Fault('warning', 'unclear-folder', str(file), message, key)
                faults.append(fault)
            broken = broken_link(found[0]) if found else ''
            if broken is not None:
                what = broken or f'is neither in {base} nor in {root}'
                message = (
                    f'{key} is {place}, which {what}: correct the path, or remove the '
                    f'line'
                )
                level: Level = 'warning' if split == 'test' else 'error'
                faults.append(Fault(level, 'missing-folder', str(file), message, key))
            elif found[0].is_dir():
                parts.append(Part(split, found[0], labels_of(found[0], root)))
            else:
                listed, more = _listed(found[0], base)
                folder = found[0].parent
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
        tried = [file.parent / name, base / name]
        if name.startswith('./') and tried[0].is_file():  # it is meant from the list
            tried.pop()
        found = list(dict.fromkeys(as_written(p) for p in tried if p.is_file()))
        id = f'line {number}'
        if not found:
            reason = next(filter(None, map(broken_link, tried)), 'does not exist')
            message = f'lists {name}, which {reason}: correct it, or remove it'
            faults.append(Fault('error', 'missing-image', str(file), message, id))
        elif len(found) > 1 and not found[0].samefile(found[1]):
            message = (
                f'lists {name}, which may be {found[0]} or {found[1]}: write the path '
                f'from {file.parent} with ./ before it, or remove one of the files'
            )
            faults.append(Fault('error', 'unclear-name', str(file), message, id))
        else:
            images[found[0]] = None
    return tuple(images), faults


def label_files(folder: Path) -> list[Path]:
    """Return the label files in a folder and below it."""
    return [file for file in list_files(folder, '.txt') if file.name not in NAME_FILES]


def labels_of(images: Path, root: Path) -> Path:
    """Return where the labels of a folder of images, or of one image, are.

    That is 'labels' in place of the last 'images' in the path below the data set's
    folder; without such a part they are beside the images, or, if there are none,
    where the whole path leads to in the same way.

    Args:
        images: The folder or the image, links kept as they are written.
        root: The data set's folder.

    Returns:
        The folder of labels, or the label file without its suffix.
    """
    above = len(root.parts) if images.is_relative_to(root) else 0
    below = _swapped(images, above)
    if below is not None:
        return below.with_suffix('') if images.is_file() else below
    places = [images, _swapped(images, 0) or images]
    if images.is_file():
        places = [place.with_suffix('') for place in places]
        found = (p for p in places if label_file(p).is_file())
    else:
        found = (p for p in places if label_files(p))
    return next(found, places[0])


def label_file(place: Path) -> Path:
    """Return the file of a label's path without suffix; in capitals if it is so."""
    capitals = Path(f'{place}.TXT')
    return capitals if capitals.is_file() else Path(f'{place}.txt')


def _swapped(images: Path, start: int) -> Path | None:
    """Return a path with 'labels' for its last part 'images', at ``start`` or later."""
    parts = images.parts
    for i in reversed(range(start, len(parts))):
        if parts[i].lower() == 'images':
            labels = Path(*parts[:i], 'labels')
            if not labels.is_dir():
                labels = folder_named(labels.parent, 'labels') or labels
            return labels.joinpath(*parts[i + 1 :])
    return None
