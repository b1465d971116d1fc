"""Reads LabelMe's format: a json beside each image."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from convnext_backbone.datasets.formats.layout import list_images, split_folders
from convnext_backbone.datasets.formats.per_image import (
    missing_image,
    read_objects,
    size_fault,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Source

LOOKED_AT = 20  # json files opened to recognise the format


def find(root: Path) -> Source | None:
    """Recognise a data set in LabelMe's format: json files of shapes, in any folder.

    An image is where its json says, or beside it. Folders named for splits divide.
    """
    if not root.is_dir() or not _holds_shapes(root):
        return None
    items: dict[Path, Item] = {}
    faults: list[Fault] = []
    folders = [(s, f) for s, f in split_folders(root) if _holds_shapes(f)]
    for split, folder in folders or [('', root)]:
        images = {path.name: path for path in list_images(folder)}
        for file, content in _files(folder):
            if content is None:
                message = 'is not valid JSON: correct it, or remove it'
                faults.append(Fault('error', 'bad-annotation', str(file), message))
                continue
            name = PureWindowsPath(str(content.get('imagePath') or '')).name
            stated = (file.parent / str(content.get('imagePath') or '')).resolve()
            image = stated if name and stated.is_file() else images.get(name)
            if image is None:
                faults.append(missing_image(file, name or 'no image (no imagePath)'))
            elif image in items:
                message = f'is for {image}, as {items[image].annotation}: remove one'
                faults.append(Fault('error', 'duplicate-image', str(file), message))
            else:
                items[image] = Item(image, file, split)
        for image in images.values():
            items.setdefault(image, Item(image, None, split))
    splits = tuple(dict.fromkeys(split for split, _ in folders))
    source = Source('labelme', 'det', root, list(items.values()), None, read_item)
    source.faults, source.splits = faults, splits
    return source


def read_item(
    item: Item, width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's shapes: rectangles are boxes, polygons masks.

    Shapes of one label and one group are one object; circles, lines and points are
    left out.
    """
    from supervision.dataset.formats import labelme  # takes a second to load

    if item.annotation is None:
        return [], []
    file = item.annotation
    content = json.loads(file.read_text(encoding='utf-8'))
    size = content.get('imageWidth') or 0, content.get('imageHeight') or 0
    faults = size_fault(file, size, width, height)
    if faults:
        return [], faults
    groups: dict[object, tuple[str, str, list[dict]]] = {}
    shapes = content.get('shapes')
    for number, shape in enumerate(shapes if isinstance(shapes, list) else [], start=1):
        id = f'shape {number}'
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
            message = 'has no label: give it one, or remove it'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        kind = shape.get('shape_type', 'polygon')
        if kind not in labelme.SUPPORTED_SHAPE_TYPES:
            message = f'is a {kind}, which is left out: draw a polygon or a rectangle'
            faults.append(Fault('warning', 'unsupported-shape', str(file), message, id))
            continue
        group = shape.get('group_id')
        key = number if group is None else (shape['label'], group)
        _, _, parts = groups.setdefault(key, (id, shape['label'], []))
        parts.append({**shape, 'shape_type': kind})
    objects = [
        (id, label, functools.partial(_read, labelme, parts, label, (width, height)))
        for id, label, parts in groups.values()
    ]
    instances, more = read_objects(objects, file, width, height)
    return instances, faults + more


def _read(labelme, shapes: list[dict], label: str, size: tuple[int, int]):
    masks = any(shape['shape_type'] == 'polygon' for shape in shapes)
    return labelme.labelme_shapes_to_detections(shapes, {label: 0}, size, masks)


def _files(folder: Path) -> Iterator[tuple[Path, dict | None]]:
    """Yield the json files with shapes, and those that are no JSON at all (None)."""
    for file in sorted(folder.rglob('*.json')):
        try:
            content = json.loads(file.read_text(encoding='utf-8'))
        except ValueError:
            yield file, None
            continue
        if isinstance(content, dict) and 'shapes' in content:
            yield file, content


def _holds_shapes(folder: Path) -> bool:
    """Tell whether one of the first json files has shapes."""
    for number, file in enumerate(folder.rglob('*.json')):
        if number == LOOKED_AT:
            break
        with file.open(encoding='utf-8', errors='replace') as stream:
            start = stream.read(1 << 20)
        if '"shapes"' in start and '"imagePath"' in start + _end(file):
            return True
    return False


def _end(file: Path) -> str:
    """Return the end of a file: imagePath may stand behind many shapes."""
    with file.open('rb') as stream:
        stream.seek(max(0, file.stat().st_size - (1 << 20)))
        return stream.read().decode('utf-8', errors='replace')
