"""Reads COCO's format: one json for each split."""

import json
import re
from collections import Counter
from pathlib import Path

from convnext_backbone.datasets.formats.boxes import check_box
from convnext_backbone.datasets.formats.layout import split_of
from convnext_backbone.datasets.formats.per_image import size_fault
from convnext_backbone.datasets.records import Fault, Instance, Item, Source

OTHER = re.compile(r'(captions|person_keypoints|stuff|panoptic|image_info)_')
KEYS = ('images', 'categories')
SPLIT_FOLDERS = {
    'train': ('train', 'training', 'train2017', 'train2014'),
    'val': ('val', 'valid', 'validation', 'val2017', 'val2014'),
    'test': ('test', 'testing', 'test2017'),
}


def find(root: Path) -> Source | None:
    """Recognise a data set in COCO's format, from its folder or one json.

    Raises:
        ValueError: A json is broken, two are of one split, or no folder holds the
            images.
    """
    contents = {file: c for file in _files(root) if (c := _read_json(file, root))}
    if not contents:
        return None
    splits = _splits(contents, root)
    faults: list[Fault] = []
    items: list[Item] = []
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
    item: Item, width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's annotations; polygons and RLEs stay as they are."""
    file, image, annotations, names = item.annotation
    stated = int(image.get('width') or 0), int(image.get('height') or 0)
    faults = size_fault(Path(file), stated, width, height)
    if faults:
        id = f'image {image["id"]}'
        return [], [Fault(f.level, f.kind, f.file, f.message, id) for f in faults]
    instances = []
    for annotation in annotations:
        id = f'annotation {annotation.get("id")}'
        category = names.get(annotation.get('category_id'))
        if category is None:
            message = (
                f'has category_id {annotation.get("category_id")}, which is not one of '
                f'the categories: correct it, or add the category'
            )
            faults.append(Fault('error', 'unknown-category', file, message, id))
            continue
        try:
            x, y, w, h = map(float, annotation['bbox'])
        except (KeyError, TypeError, ValueError):
            message = (
                f'has the bbox {annotation.get("bbox")!r}, expected x, y, width, height'
            )
            faults.append(Fault('error', 'bad-annotation', file, message, id))
            continue
        segmentation = annotation.get('segmentation') or None
        wrong = segmentation and check_segmentation(segmentation, width, height)
        if wrong:
            faults.append(Fault('error', 'bad-segmentation', file, wrong, id))
            continue
        crowd = bool(annotation.get('iscrowd'))
        instance = Instance(category, (x, y, x + w, y + h), id, segmentation, crowd)
        checked, more = check_box(instance, file, width, height)
        faults += more
        if checked is not None:
            instances.append(checked)
    masks = sum(instance.segmentation is not None for instance in instances)
    for instance in instances if masks else []:
        if instance.segmentation is None:
            message = 'has no segmentation, while others have: its box stands in'
            faults.append(
                Fault('warning', 'no-segmentation', file, message, instance.id)
            )
    return instances, faults


def check_segmentation(segmentation: object, width: int, height: int) -> str | None:
    """Return what is wrong with a segmentation, None if nothing is."""
    if isinstance(segmentation, dict):
        size = segmentation.get('size')
        if list(size or []) != [height, width]:
            return f'has an RLE of size {size}, expected [{height}, {width}]'
        if not isinstance(segmentation.get('counts'), str | list):
            return 'has an RLE without counts'
        return None
    if not isinstance(segmentation, list):
        return f'has a segmentation of type {type(segmentation).__name__}'
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            length = len(polygon) if isinstance(polygon, list) else polygon
            return (
                f'has a polygon of {length} numbers: expected x, y pairs of at least 3 '
                f'points'
            )
    return None


def _files(root: Path) -> list[Path]:
    """Return the json files that may be COCO's."""
    if root.is_file():
        return [root] if root.suffix == '.json' else []
    if not root.is_dir():
        return []
    places = [root, root / 'annotations']
    places += [p for p in sorted(root.iterdir()) if p.is_dir() and split_of(p.name)]
    files = [file for place in places for file in sorted(place.glob('*.json'))]
    return [file for file in files if not OTHER.match(file.name)]


def _read_json(file: Path, root: Path) -> dict | None:
    """Return a json's content if it is COCO's.

    Raises:
        ValueError: It looks like COCO's and is broken.
    """
    with file.open(encoding='utf-8', errors='replace') as stream:
        start = stream.read(1 << 16)
    likely = file == root or any(f'"{key}"' in start for key in KEYS)
    if not likely and file.stat().st_size <= len(start):
        return None
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except ValueError as error:
        if not likely:
            return None
        raise ValueError(
            f'{file} is not valid JSON ({error}): export or download it again'
        ) from error
    if not isinstance(content, dict) or not all(key in content for key in KEYS):
        if file == root:
            raise ValueError(f'{file} is no COCO json: it lacks images or categories')
        return None
    if 'annotations' not in content and file != root:
        return None  # images to predict on
    return content


def _splits(contents: dict[Path, dict], root: Path) -> dict[Path, str]:
    """Return the split of each json, those of training first.

    Raises:
        ValueError: Two are of the same split.
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
            raise ValueError(
                f'{listed} may both be the {split or "annotation"} json: give the one '
                f'to use as PATH, or move the other one away'
            )
        for file in rivals:
            if len(rivals) > 1 and file != named[0]:
                del splits[file]
    if '' in splits.values() and 'val' in splits.values():
        if 'train' not in splits.values():
            splits = {file: split or 'train' for file, split in splits.items()}
    order = ('train', '', 'val', 'test')
    return dict(sorted(splits.items(), key=lambda entry: order.index(entry[1])))


def _items(
    file: Path, split: str, content: dict, root: Path
) -> tuple[list[Item], list[Fault], tuple[str, ...]]:
    """Return a json's images, its faults, and its categories in their order."""
    faults = []

    def fault(kind: str, message: str, id: str) -> None:
        faults.append(Fault('error', kind, str(file), message, id))

    try:
        images = {image['id']: image for image in content['images']}
        names = {c['id']: str(c['name']) for c in content['categories']}
        files = [str(image['file_name']) for image in content['images']]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{file}: an entry of images or categories lacks {error}: id and file_name '
            f'or name are needed'
        ) from error
    annotations = content.get('annotations') or []
    for what in ('images', 'annotations', 'categories'):
        counts = Counter(e.get('id') for e in content.get(what) or [] if 'id' in e)
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
        image = annotation.get('image_id')
        if image not in images:
            message = f'is for the image_id {image}, which images does not have'
            fault('unknown-image', message, f'annotation {annotation.get("id")}')
        by_image.setdefault(image, []).append(annotation)
    folder = _image_folder(file, split, files, root)
    items = [
        Item(
            folder / str(image['file_name']),
            (str(file), _few(image), by_image.get(id, []), names),
            split,
        )
        for id, image in images.items()
    ]
    return items, faults, tuple(dict.fromkeys(names.values()))


def _few(image: dict) -> dict:
    return {key: image.get(key) for key in ('id', 'width', 'height')}


def _image_folder(file: Path, split: str, names: list[str], root: Path) -> Path:
    """Return the folder that the images of a json are in.

    Raises:
        ValueError: None of the usual ones has the first.
    """
    if not names:
        return file.parent
    top = root if root.is_dir() else file.parent
    if file.parent.name == 'annotations':
        top = file.parent.parent
    inner = [name for s in (split,) if s for name in SPLIT_FOLDERS[s]]
    inner += [name for name in file.stem.split('_') if split_of(name)]
    folders = [file.parent]
    folders += [place / name for place in (top, top / 'images') for name in inner]
    folders += [top / 'images', top]
    for folder in folders:
        if any((folder / name).is_file() for name in names[:20]):
            return folder.resolve()
    tried = ', '.join(map(str, dict.fromkeys(folders)))
    raise ValueError(
        f'{file} lists {names[0]}, which is in none of {tried}: put the images there, '
        f'or correct file_name'
    )
