"""Reads COCO's format: one json for each split.

Of ``person_keypoints_*.json`` the boxes and masks are read, where nothing else is.
"""

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from convnext_backbone.datasets.formats.boxes import check_box
from convnext_backbone.datasets.formats.coco_boxes import CORNERS, are_corners
from convnext_backbone.datasets.formats.coco_objects import read_object
from convnext_backbone.datasets.formats.coco_tables import (
    annotations_of,
    is_id,
    is_number,
    table,
)
from convnext_backbone.datasets.formats.layout import split_of
from convnext_backbone.datasets.formats.per_image import size_fault
from convnext_backbone.datasets.records import Fault, Instance, Item, Source
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import as_written, list_folder

OTHER = re.compile(r'(captions|stuff|panoptic|image_info)_')
KEYPOINTS = 'person_keypoints_'
KEYS = ('images', 'categories')
LOOKED_AT = 50  # images that are looked for to find their folder
SPLIT_FOLDERS = {
    'train': ('train', 'training', 'train2017', 'train2014'),
    'val': ('val', 'valid', 'validation', 'val2017', 'val2014'),
    'test': ('test', 'testing', 'test2017'),
}


class Entries(NamedTuple):
    """What a json has of one image.

    Attributes:
        file: The json.
        image: The image's ``id``, ``width`` and ``height``.
        annotations: The annotations of the image.
        names: The name of each category by its id.
    """

    file: str
    image: dict
    annotations: list[dict]
    names: dict[object, str]


def find(root: Path) -> Source[Entries] | None:
    """Recognise a data set in COCO's format, from its folder or one json.

    Raises:
        UserError: A json is broken, two are of one split, or no folder holds the
            images.
    """
    files, others = _files(root)
    contents = {file: c for file in files if (c := _read_json(file, root))}
    if not contents:
        _tell_others(others)
        return None
    splits = _splits(contents, root)
    faults: list[Fault] = [
        Fault('warning', 'keypoints', str(file), 'has keypoints, which are left out')
        for file in splits
        if file.name.startswith(KEYPOINTS)
    ]
    items: list[Item[Entries]] = []
    names: dict[str, tuple[str, ...]] = {}
    for file, split in splits.items():
        content = contents[file]
        found, more, names[split] = _items(file, split, content, root)
        items += found
        faults += more
    first = next(iter(splits))
    classes = names[splits[first]]
    for file, split in splits.items():
        if names[split] != classes:
            message = (
                f'has the categories {", ".join(names[split])}; {first} has '
                f'{", ".join(classes)}: labels would differ; use the same list in both'
            )
            faults.append(Fault('error', 'categories-differ', str(file), message))
    return Source(
        'coco',
        'det',
        root,
        items,
        classes,
        read_item,
        faults=faults,
        splits=tuple(filter(None, splits.values())),
    )


def read_item(
    item: Item[Entries], width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's annotations; polygons and RLEs stay as they are."""
    file, image, annotations, names = item.annotation
    id = f'image {image["id"]}'
    faults: list[Fault] = []

    def fault(kind: str, message: str, id: str) -> None:
        faults.append(Fault('error', kind, file, message, id))

    stated = image.get('width') or 0, image.get('height') or 0
    if not all(map(is_number, stated)):
        shown = ', '.join(map(repr, stated))
        fault('bad-annotation', f'has the width and height {shown}: not numbers', id)
        return [], faults
    size = int(stated[0]), int(stated[1])
    mismatch = size_fault(Path(file), size, width, height)
    if mismatch:
        return [], [dataclasses.replace(f, id=id) for f in mismatch]
    instances = []
    for annotation in annotations:
        id = f'annotation {annotation.get("id")}'
        number = annotation.get('category_id')
        category = names.get(number) if is_id(number) else None
        if category is None:
            message = (
                f'has category_id {number!r}, which is not one of the categories: '
                f'correct it, or add the category'
            )
            fault(
                'unknown-category' if is_id(number) else 'bad-annotation', message, id
            )
            continue
        instance, wrong = read_object(annotation, category, file, width, height)
        faults += wrong
        if instance is None:
            continue
        checked, more = check_box(instance, file, width, height)
        faults += more
        if checked is not None:
            instances.append(checked)
    masks = sum(instance.segmentation is not None for instance in instances)
    for instance in instances if masks else []:
        if instance.segmentation is None:
            message = 'has no segmentation, unlike others: its box is used as its mask'
            faults.append(
                Fault('warning', 'no-segmentation', file, message, instance.id)
            )
    return instances, faults


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the json files that may be COCO's with objects, and COCO's others."""
    if root.is_file():
        return ([root] if root.suffix.lower() == '.json' else []), []
    if not root.is_dir():
        return [], []
    places = [root, root / 'annotations']
    places += [p for p in list_folder(root) if p.is_dir() and split_of(p.name)]
    files = [
        file
        for place in places
        if place.is_dir()
        for file in list_folder(place)
        if file.suffix.lower() == '.json'
    ]
    others = [file for file in files if OTHER.match(file.name)]
    files = [file for file in files if file not in others]
    objects = {
        split_of(file.stem) for file in files if not file.name.startswith(KEYPOINTS)
    }
    return [
        file
        for file in files
        if not file.name.startswith(KEYPOINTS) or split_of(file.stem) not in objects
    ], others


def _tell_others(others: list[Path]) -> None:
    """Raise UserError if a folder has only such json of COCO as lack objects."""
    if not others:
        return
    raise UserError(
        f"{', '.join(file.name for file in others)} in {others[0].parent}: of COCO's "
        f'files, instances_*.json or person_keypoints_*.json are needed, which have '
        f'boxes and masks of objects; add them'
    )


def _read_json(file: Path, root: Path) -> dict | None:
    """Return a json's content if it is COCO's.

    Raises:
        UserError: It looks like COCO's and is broken.
    """
    with file.open(encoding='utf-8-sig', errors='replace') as stream:
        start = stream.read(1 << 16)
    likely = file == root or any(f'"{key}"' in start for key in KEYS)
    if not likely and file.stat().st_size <= len(start):
        return None
    try:
        content = json.loads(file.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        if not likely:
            return None
        raise UserError(
            f'{file} is not valid JSON ({error}): export or download it again'
        ) from error
    if not isinstance(content, dict) or not all(key in content for key in KEYS):
        if file == root:
            raise UserError(f'{file} is not a COCO json: it lacks images or categories')
        return None
    if 'annotations' not in content and file != root:
        return None  # images to predict on
    return content


def _splits(contents: dict[Path, dict], root: Path) -> dict[Path, str]:
    """Return the split of each json, those of training first.

    Raises:
        UserError: Two are of the same split, or one of none beside one of training.
    """
    splits: dict[Path, str] = {}
    for file in contents:
        split = split_of(file.stem) or (
            split_of(file.parent.name) if file != root else ''
        )
        splits[file] = split
    for split in set(splits.values()):
        rivals = [file for file, other in splits.items() if other == split]
        named = [file for file in rivals if file.name.startswith('instances_')]
        if len(rivals) > 1 and len(named) != 1:
            listed = ' and '.join(map(str, rivals))
            raise UserError(
                f'{listed} may each be the {split or "annotation"} json: give the one '
                f'to use as PATH, or move the others elsewhere'
            )
        for file in rivals:
            if len(rivals) > 1 and file != named[0]:
                del splits[file]
    if '' in splits.values() and len(splits) > 1:
        if 'train' in splits.values():
            other = next(file for file, split in splits.items() if not split)
            raise UserError(
                f'{other} belongs to no split, unlike others: give the one to use as '
                f'PATH, or move it elsewhere'
            )
        splits = {file: split or 'train' for file, split in splits.items()}
    order = ('train', '', 'val', 'test')
    return dict(sorted(splits.items(), key=lambda entry: order.index(entry[1])))


def _items(
    file: Path, split: str, content: dict, root: Path
) -> tuple[list[Item[Entries]], list[Fault], tuple[str, ...]]:
    """Return a json's images, its faults, and its categories in their order."""
    faults = []

    def fault(kind: str, message: str, id: str) -> None:
        faults.append(Fault('error', kind, str(file), message, id))

    images = {e['id']: e for e in table(file, content, 'images', 'file_name')}
    categories = table(file, content, 'categories', 'name')
    names = {category['id']: str(category['name']) for category in categories}
    files = [str(image['file_name']) for image in content['images']]
    annotations, more = annotations_of(file, content)
    faults += more
    tables = {'images': content['images'], 'annotations': annotations}
    for what, entries in {**tables, 'categories': categories}.items():
        counts = Counter(entry['id'] for entry in entries if is_id(entry.get('id')))
        for id, count in counts.items():
            if count > 1:
                message = f'{what} has the id {id} {count} times: make ids unique'
                fault('duplicate-id', message, f'id {id}')
    for name, count in Counter(files).items():
        if count > 1:
            fault('duplicate-image', f'lists {name} {count} times', name)
    for name, count in Counter(names.values()).items():
        if count > 1:
            fault('duplicate-category', f'names {count} categories {name!r}', name)
    by_image: dict[object, list[dict]] = {}
    for annotation in annotations:
        image = annotation['image_id']
        if image not in images:
            message = f'is for the image_id {image}, which is not in images'
            fault('unknown-image', message, f'annotation {annotation.get("id")}')
        by_image.setdefault(image, []).append(annotation)
    if are_corners(annotations, images):
        message = f'has boxes that leave their images as x, y, width, height: {CORNERS}'
        fault('box-notation', message, '')
    folder, more = _image_folder(file, split, files, root)
    faults += more
    items = [
        Item(
            folder / str(image['file_name']),
            Entries(str(file), _id_and_size(image), by_image.get(id, []), names),
            split,
        )
        for id, image in images.items()
    ]
    return items, faults, tuple(dict.fromkeys(names.values()))


def _id_and_size(image: dict) -> dict:
    return {key: image.get(key) for key in ('id', 'width', 'height')}


def _image_folder(
    file: Path, split: str, names: list[str], root: Path
) -> tuple[Path, list[Fault]]:
    """Return the folder that the images of a json are in, and whether it is unclear.

    Raises:
        UserError: None of the usual ones has the first.
    """
    if not names:
        return file.parent, []
    top = root if root.is_dir() else file.parent
    if file.parent.name == 'annotations':
        top = file.parent.parent
    inner = [name for s in (split,) if s for name in SPLIT_FOLDERS[s]]
    inner += [name for name in file.stem.split('_') if split_of(name)]
    folders = [file.parent]
    folders += [place / name for place in (top, top / 'images') for name in inner]
    folders += [top / 'images', top]
    found = {f: _count(f, names) for f in map(as_written, folders)}
    chosen = max(found, key=lambda folder: found[folder])  # of equal ones the first
    if found[chosen]:
        rivals = [f for f in found if found[f] == found[chosen] and f != chosen]
        return chosen, _unclear_folder(file, chosen, rivals, names)
    tried = ', '.join(map(str, dict.fromkeys(folders)))
    raise UserError(
        f'{file} lists {names[0]}, which is in none of {tried}: put the images there, '
        f'or correct file_name'
    )


def _count(folder: Path, names: list[str]) -> int:
    """Count which of some names are files in a folder."""
    step = max(1, len(names) // LOOKED_AT)
    return sum((folder / name).is_file() for name in names[::step])


def _unclear_folder(
    file: Path, chosen: Path, rivals: list[Path], names: list[str]
) -> list[Fault]:
    """Warn if another folder has other images of the same names."""
    for rival in rivals:
        for name in names[:LOOKED_AT]:
            here, there = chosen / name, rival / name
            if here.is_file() and there.is_file() and not here.samefile(there):
                message = (
                    f'its images are taken from {chosen}; {rival} has others of the '
                    f'same names: remove or rename one of these folders'
                )
                return [Fault('warning', 'unclear-folder', str(file), message)]
    return []
