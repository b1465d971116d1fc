"""Reads Pascal VOC's format: an xml file an image."""

import functools
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from convnext_backbone.datasets.formats.layout import (
    folder_named,
    is_image,
    split_folders,
)
from convnext_backbone.datasets.formats.per_image import (
    images_by_stem,
    missing_image,
    read_objects,
    size_fault,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Source

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
SPLITS = ('train', 'val', 'test')


def find(root: Path) -> Source | None:
    """Recognise a data set in VOC's format.

    Annotations/ and JPEGImages/, with the splits of ImageSets/Main; or xml files beside
    the images, in folders named for splits or not.
    """
    if not root.is_dir():
        return None
    items: list[Item] = []
    faults: list[Fault] = []
    splits: list[str] = []
    for split, annotations, images in _folders(root):
        found, more = _items(split, annotations, images)
        items += found
        faults += more
        splits.append(split)
    lists = _lists(root)
    if lists:
        items, more = _divide(items, lists, root)
        faults += more
        splits = [split for split in SPLITS if split in lists.values()]
    if not items and not faults:
        return None
    splits = tuple(dict.fromkeys(filter(None, splits)))
    return Source(
        'voc', 'det', root, items, None, read_item, faults=faults, splits=splits
    )


def read_item(
    item: Item, width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's xml: boxes, and polygons where it has them (CVAT, Roboflow).

    Objects that are marked as difficult are kept as crowds, which evaluation ignores.
    """
    from defusedxml import ElementTree
    from supervision.dataset.formats import pascal_voc  # takes a second to load

    if item.annotation is None:
        return [], []
    file = item.annotation
    try:
        root = ElementTree.parse(file).getroot()
        size = root.find('size')
        stated = (
            (0, 0)
            if size is None
            else (_number(size, 'width'), _number(size, 'height'))
        )
    except (ElementTree.ParseError, OSError, ValueError) as error:
        message = f'cannot be parsed ({error}): correct it, or remove it'
        return [], [Fault('error', 'bad-annotation', str(file), message)]
    faults = size_fault(file, stated, width, height)
    if faults:
        return [], faults
    objects, crowds = [], set()
    for number, node in enumerate(root.iter('object'), start=1):
        id = f'object {number}'
        name = (node.findtext('name') or '').strip()
        if (node.findtext('difficult') or '').strip() == '1':
            crowds.add(id)
        read = functools.partial(_read, pascal_voc, node, (width, height))
        objects.append((id, name, read))
    instances, more = read_objects(objects, file, width, height)
    for instance in instances:
        instance.crowd = instance.id in crowds
    return instances, faults + more


def _number(size: Element, tag: str) -> int:
    return int(float(size.findtext(tag) or 0))


def _read(pascal_voc, node: Element, size: tuple[int, int]):
    box = {key: float(node.findtext(f'bndbox/{key}') or 'nan') for key in CORNERS}
    if box['xmax'] < box['xmin'] or box['ymax'] < box['ymin']:  # supervision swaps them
        raise ValueError(f'its box has a negative size: {box}')
    root = Element('annotation')
    root.append(node)
    masks = node.find('polygon') is not None
    return pascal_voc.detections_from_xml_obj(root, [], size, force_masks=masks)[0]


def _folders(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield (split, folder of xml files, folder of images)."""
    annotations = folder_named(root, 'annotations')
    images = folder_named(root, 'jpegimages', 'images')
    if annotations is not None and images is not None and _holds_xml(annotations):
        inner = [(s, f) for s, f in split_folders(annotations) if _holds_xml(f)]
        if not inner:
            yield '', annotations, images
        for split, folder in inner:
            yield split, folder, images / folder.name
        return
    folders = [(split, folder) for split, folder in split_folders(root)]
    for split, folder in (
        folders if any(_pairs(f) for _, f in folders) else [('', root)]
    ):
        pair = _pairs(folder)
        if pair:
            yield split, *pair
        elif split:
            yield split, folder, folder


def _pairs(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of xml files and images inside one, None without xml."""
    annotations = folder_named(folder, 'annotations')
    images = folder_named(folder, 'jpegimages', 'images')
    if annotations is not None and images is not None and _holds_xml(annotations):
        return annotations, images
    return (folder, folder) if _holds_xml(folder) else None


def _holds_xml(folder: Path) -> bool:
    return next(folder.rglob('*.xml'), None) is not None


def _items(
    split: str, annotations: Path, images: Path
) -> tuple[list[Item], list[Fault]]:
    found, faults = images_by_stem(images) if images.is_dir() else ({}, [])
    items = {stem: Item(path, None, split) for stem, path in found.items()}
    for file in sorted(annotations.rglob('*.xml')):
        stem = file.relative_to(annotations).with_suffix('').as_posix()
        if stem not in items:
            faults.append(missing_image(file, f'{images / stem}.jpg'))
        else:
            items[stem].annotation = file
    return list(items.values()), faults


def _lists(root: Path) -> dict[str, str]:
    """Return the split of each image that ImageSets/Main lists."""
    folder = root / 'ImageSets' / 'Main'
    splits: dict[str, str] = {}
    names = [s for s in SPLITS if (folder / f'{s}.txt').is_file()]
    if 'train' not in names and (folder / 'trainval.txt').is_file():
        names = ['trainval', *names]
    for name in names:
        split = 'train' if name == 'trainval' else name
        for line in (folder / f'{name}.txt').read_text(encoding='utf-8').splitlines():
            words = line.split()
            if words:
                stem = words[0]
                stem = stem.rsplit('.', 1)[0] if is_image(Path(stem)) else stem
                splits.setdefault(stem, split)
    return splits


def _divide(
    items: list[Item], lists: dict[str, str], root: Path
) -> tuple[list[Item], list[Fault]]:
    """Keep the images that are listed, each in its split."""
    by_stem = {item.image.stem: item for item in items}
    kept, faults = [], []
    for stem, split in lists.items():
        if stem in by_stem:
            by_stem[stem].split = split
            kept.append(by_stem[stem])
        elif split != 'test':
            file = root / 'ImageSets' / 'Main' / f'{split}.txt'
            message = f'lists {stem!r}, and there is no image of this name'
            faults.append(Fault('error', 'missing-image', str(file), message, stem))
    return kept, faults
