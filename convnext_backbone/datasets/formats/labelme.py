"""Reads LabelMe's format: a json beside each image."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

from convnext_backbone.datasets.formats.labelme_images import ImageFinder
from convnext_backbone.datasets.formats.layout import (
    list_files,
    list_images,
    split_folders,
    unread_annotations,
)
from convnext_backbone.datasets.formats.per_image import (
    Detected,
    no_annotation,
    read_objects,
    size_fault,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Source

LOOKED_AT = 20  # json files opened to recognise the format


def find(root: Path) -> Source[Path | None] | None:
    """Recognise a data set in LabelMe's format: json files of shapes, in any folder.

    An image is where its json says, or beside it. Folders named for splits divide.
    """
    if not root.is_dir() or not _holds_shapes(root):
        return None
    items: dict[Path, Item[Path | None]] = {}
    faults: list[Fault] = []
    folders = [(s, f) for s, f in split_folders(root) if _holds_shapes(f)]
    if folders:
        jsons = filter(_has_shapes, list_files(root, '.json'))
        faults += unread_annotations(root, [folder for _, folder in folders], jsons)
    for split, folder in folders or [('', root)]:
        images = list_images(folder)
        finder = ImageFinder(root, images)
        for file, content in _files(folder):
            if content is None:
                message = 'is not a JSON object with shapes: correct it, or remove it'
                faults.append(Fault('error', 'bad-annotation', str(file), message))
                continue
            place = content.get('imagePath')
            image, more = finder.find(file, place if isinstance(place, str) else '')
            faults += more
            if image is None:
                continue
            if image in items:
                message = f'is for {image}, as is {items[image].annotation}: remove one'
                faults.append(Fault('error', 'duplicate-image', str(file), message))
            else:
                items[image] = Item(image, file, split)
        for image in images:
            items.setdefault(image, Item(image, None, split))
    splits = tuple(dict.fromkeys(split for split, _ in folders))
    source = Source('labelme', 'det', root, list(items.values()), None, read_item)
    source.faults, source.splits = faults, splits
    return source


def read_item(
    item: Item[Path | None], width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's shapes: rectangles are boxes, polygons masks.

    Shapes of one label and one group are one object; circles, lines and points are
    left out.
    """
    from supervision.dataset.formats import labelme  # takes a second to load

    if item.annotation is None:
        return [], [no_annotation(item.image, 'json')]
    file = item.annotation
    content = json.loads(file.read_text(encoding='utf-8-sig'))
    size = content.get('imageWidth') or 0, content.get('imageHeight') or 0
    faults = size_fault(file, size, width, height)
    if faults:
        return [], faults
    groups: dict[object, tuple[str, str, list[dict]]] = {}
    shapes = content['shapes']
    if not isinstance(shapes, list):
        message = f'has the shapes {shapes!r:.40}, expected a list: correct it'
        return [], [Fault('error', 'bad-annotation', str(file), message)]
    for number, shape in enumerate(shapes, start=1):
        id = f'shape {number}'
        if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
            message = 'has no label: give it one, or remove it'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        kind = str(shape.get('shape_type') or 'polygon')
        if kind not in labelme.SUPPORTED_SHAPE_TYPES:
            message = f'is a {kind}, which is left out: draw a polygon or a rectangle'
            faults.append(Fault('warning', 'unsupported-shape', str(file), message, id))
            continue
        group = shape.get('group_id')
        if not isinstance(group, int | float | str | None):
            message = f'has the group_id {group!r:.40}, expected a number'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        key = number if group is None else (shape['label'], group)
        _, _, parts = groups.setdefault(key, (id, shape['label'], []))
        parts.append({**shape, 'shape_type': kind})
    objects = [
        (id, label, functools.partial(_read, labelme, parts, label, (width, height)))
        for id, label, parts in groups.values()
    ]
    instances, more = read_objects(objects, file, width, height)
    return instances, faults + more


def _read(labelme, shapes: list[dict], label: str, size: tuple[int, int]) -> Detected:
    polygons = [shape for shape in shapes if shape['shape_type'] == 'polygon']
    single = len(shapes) == len(polygons) == 1
    masks = bool(polygons) and not single
    found = labelme.labelme_shapes_to_detections(shapes, {label: 0}, size, masks)
    if not single:
        return found, None
    return found, [float(value) for xy in polygons[0]['points'] for value in xy]


def _files(folder: Path) -> Iterator[tuple[Path, dict | None]]:
    """Yield the json files with shapes, and those that are none (None).

    A json that is a list is LabelMe's only if it is named as an image beside it.
    """
    images = {path.with_suffix('') for path in list_images(folder)}
    for file in list_files(folder, '.json'):
        try:
            content = json.loads(file.read_text(encoding='utf-8-sig'))
        except (ValueError, RecursionError):
            yield file, None
            continue
        if isinstance(content, dict) and 'shapes' in content:
            yield file, content
        elif not isinstance(content, dict) and file.with_suffix('') in images:
            yield file, None


def _holds_shapes(folder: Path) -> bool:
    """Tell whether one of the first json files has shapes."""
    return any(map(_has_shapes, list_files(folder, '.json')[:LOOKED_AT]))


def _has_shapes(file: Path) -> bool:
    with file.open(encoding='utf-8-sig', errors='replace') as stream:
        start = stream.read(1 << 20)
    return '"shapes"' in start and '"imagePath"' in start + _end(file)


def _end(file: Path) -> str:
    """Return the end of a file: imagePath may stand behind many shapes."""
    with file.open('rb') as stream:
        stream.seek(max(0, file.stat().st_size - (1 << 20)))
        return stream.read().decode('utf-8', errors='replace')
