"""Reads YOLO's format: a text file an image, a line an object, box or polygon."""

import functools
from collections.abc import Iterator
from pathlib import Path

import yaml

from convnext_backbone.datasets.formats.layout import (
    folder_named,
    list_images,
    split_folders,
)
from convnext_backbone.datasets.formats.per_image import images_by_stem, read_objects
from convnext_backbone.datasets.records import Fault, Instance, Item, Source

NAME_FILES = ('classes.txt', 'obj.names', 'classes.names', 'labels.txt')
KEYS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}


def find(root: Path) -> Source | None:
    """Recognise a data set in YOLO's format.

    Raises:
        ValueError: It has no class names, or ``data.yaml`` leads to no images.
    """
    if not root.is_dir():
        return None
    config = _config(root)
    folders = list(_folders(root, config))
    if not folders and config is None:
        return None
    if not folders:
        raise ValueError(
            f'{root}/data.yaml: its train and val lead to no folder with images: give '
            f'paths relative to the file, as train: images/train'
        )
    if config is None and not any(_holds_labels(labels) for _, _, labels in folders):
        return None
    names = _names(root, config)
    items: list[Item] = []
    faults: list[Fault] = []
    for split, images, labels in folders:
        found, more = images_by_stem(images)
        faults += more
        items += [Item(p, labels / f'{stem}.txt', split) for stem, p in found.items()]
        for file in sorted(labels.rglob('*.txt')):
            stem = file.relative_to(labels).with_suffix('').as_posix()
            if stem not in found and file.name not in NAME_FILES:
                message = (
                    f'there is no image {images / stem}.jpg (or another suffix): add '
                    f'it, or remove this file'
                )
                faults.append(Fault('error', 'missing-image', str(file), message))
    if not items and not faults:
        return None
    splits = tuple(dict.fromkeys(split for split, _, _ in folders if split))
    read = functools.partial(read_item, names)
    return Source('yolo', 'det', root, items, names, read, faults=faults, splits=splits)


def read_item(
    names: tuple[str, ...], item: Item, width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's lines: ``class x y w h`` or ``class x1 y1 x2 y2 ...``, relative.

    An image without a file has no objects.
    """
    from supervision.dataset.formats import yolo  # takes a second to load

    file = item.annotation
    if not file.is_file():
        return [], []
    faults, objects = [], []
    for number, line in enumerate(_lines(file), start=1):
        words = line.split()
        if not words:
            continue
        id = f'line {number}'
        try:
            label = int(float(words[0]))
        except (ValueError, OverflowError):
            message = f'{line.strip()!r} does not begin with the number of a class'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        if not 0 <= label < len(names):
            message = (
                f'has class {label}, the names are {len(names)} (0 to '
                f'{len(names) - 1}): correct it, or add the name'
            )
            faults.append(Fault('error', 'unknown-category', str(file), message, id))
            continue
        objects.append((id, names[label], _reader(yolo, line, (width, height))))
    instances, more = read_objects(objects, file, width, height)
    return instances, faults + more


def _reader(yolo, line: str, size: tuple[int, int]):
    polygon = len(line.split()) > 6
    return functools.partial(
        yolo.yolo_annotations_to_detections, [line], size, with_masks=polygon
    )


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding='utf-8', errors='replace').splitlines()


def _config(root: Path) -> dict | None:
    """Return data.yaml's content, None if there is none that states names."""
    for file in sorted([*root.glob('*.yaml'), *root.glob('*.yml')]):
        try:
            content = yaml.safe_load(file.read_text(encoding='utf-8'))
        except yaml.YAMLError as error:
            raise ValueError(f'{file} is not valid YAML: {error}') from error
        if isinstance(content, dict) and 'names' in content:
            return content
    return None


def _names(root: Path, config: dict | None) -> tuple[str, ...]:
    if config is not None:
        names = config['names']
        if isinstance(names, dict):
            numbers = sorted(names)
            if numbers != list(range(len(numbers))):
                raise ValueError(
                    f'{root}/data.yaml: names must be numbered 0, 1, 2, ..., they are '
                    f'{numbers}'
                )
            names = [names[number] for number in numbers]
        if not isinstance(names, list) or not names:
            raise ValueError(f'{root}/data.yaml: names must be a list, got {names!r}')
        return tuple(map(str, names))
    for folder in (root, folder_named(root, 'labels') or root):
        for name in NAME_FILES:
            if (folder / name).is_file():
                lines = (line.strip() for line in _lines(folder / name))
                return tuple(filter(None, lines))
    raise ValueError(
        f'{root} looks like YOLO data, but nothing states the class names: add '
        f'data.yaml with names, or classes.txt with one name a line'
    )


def _folders(root: Path, config: dict | None) -> Iterator[tuple[str, Path, Path]]:
    """Yield (split, folder of images, folder of labels)."""
    stated = list(_stated(root, config or {}))
    if stated:
        yield from stated
        return
    images, labels = folder_named(root, 'images'), folder_named(root, 'labels')
    if images is not None and labels is not None:
        splits = dict(split_folders(images))
        if not splits:
            yield '', images, labels
        for split, folder in splits.items():
            yield split, folder, labels / folder.name
        return
    inner = list(split_folders(root))
    for split, folder in inner:
        images, labels = folder_named(folder, 'images'), folder_named(folder, 'labels')
        if images is not None and labels is not None:
            yield split, images, labels
    if config is not None and not inner and list_images(root):
        yield '', root, root  # labels beside the images


def _stated(root: Path, config: dict) -> Iterator[tuple[str, Path, Path]]:
    """Yield the folders that data.yaml states."""
    base = root / str(config.get('path') or '.')
    for key, split in KEYS.items():
        places = config.get(key) or []
        for place in places if isinstance(places, list) else [places]:
            candidates = [base / place, root / place, root / str(place).lstrip('./')]
            images = next((p for p in candidates if p.is_dir()), None)
            if images is not None:
                yield split, images.resolve(), labels_of(images.resolve())


def labels_of(images: Path) -> Path:
    """Return the folder of labels: 'labels' for the last 'images' in the path."""
    parts = list(images.parts)
    for i in reversed(range(len(parts))):
        if parts[i].lower() == 'images':
            return Path(*parts[:i], 'labels', *parts[i + 1 :])
    return images


def _holds_labels(folder: Path) -> bool:
    files = (file for file in folder.rglob('*.txt') if file.name not in NAME_FILES)
    return next(files, None) is not None
