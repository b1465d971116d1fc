"""Reads Pascal VOC's format: an xml file an image."""

import functools
import re
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element
from xml.sax.saxutils import unescape

from convnext_backbone.datasets.formats.layout import (
    folder_named,
    list_files,
    list_images,
    split_folders,
    unread_annotations,
)
from convnext_backbone.datasets.formats.name_lists import (
    SPLITS,
    left_out,
    read_lists,
)
from convnext_backbone.datasets.formats.per_image import (
    Detected,
    images_by_stem,
    missing_image,
    no_annotation,
    read_objects,
    size_fault,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Source
from convnext_backbone.foundation.errors import UserError

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
FILENAME = re.compile('<filename>([^<]+)</filename>')
YES, NO = ('1', 'true', 'yes'), ('', '0', 'false', 'no', 'unspecified')


def find(root: Path) -> Source[Path | None] | None:
    """Recognise a data set in VOC's format.

    Annotations/ and JPEGImages/, with the splits of ImageSets/Main; or xml files beside
    the images, in folders named for splits or not.
    """
    if not root.is_dir():
        return None
    items: list[Item[Path | None]] = []
    splits: list[str] = []  # may repeat, and '' is none
    folders, faults = _folders(root)
    for split, annotations, images in folders:
        found, more = _items(split, annotations, images)
        items += found
        faults += more
        splits.append(split)
    split_of, listed, more = _divide(items, root)
    faults += more
    if split_of:
        items = listed
        splits = [split for split in SPLITS if split in split_of.values()]
    if not items and not faults:
        return None
    source = Source('voc', 'det', root, items, None, read_item, faults=faults)
    source.splits = tuple(dict.fromkeys(filter(None, splits)))
    return source


def read_item(
    item: Item[Path | None], width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's xml: boxes, and polygons where it has them (CVAT, Roboflow).

    Objects that are marked as difficult are kept as crowds, which evaluation ignores.
    """
    from defusedxml import ElementTree
    from supervision.dataset.formats import pascal_voc  # takes a second to load

    if item.annotation is None:
        return [], [no_annotation(item.image, 'xml')]
    file = item.annotation
    try:
        root = ElementTree.parse(file).getroot()
        size = root.find('size')
        stated = (
            (0, 0)
            if size is None
            else (_number(size, 'width'), _number(size, 'height'))
        )
    except (
        ElementTree.ParseError,
        LookupError,  # an unknown encoding
        OSError,
        OverflowError,  # a size of inf
        ValueError,
    ) as error:
        message = f'cannot be parsed ({error}): correct it, or remove it'
        return [], [Fault('error', 'bad-annotation', str(file), message)]
    faults = size_fault(file, stated, width, height)
    if faults:
        return [], faults
    objects, crowds = [], set()
    for number, node in enumerate(root.iter('object'), start=1):
        id = f'object {number}'
        name = (node.findtext('name') or '').strip()
        try:
            if _is_difficult(node):
                crowds.add(id)
        except ValueError as error:
            fault = Fault('error', 'bad-annotation', str(file), str(error), id)
            faults.append(fault)
            continue
        read = functools.partial(_read, pascal_voc, node, (width, height))
        objects.append((id, name, read))
    instances, more = read_objects(objects, file, width, height)
    for instance in instances:
        instance.crowd = instance.id in crowds
    return instances, faults + more


def _is_difficult(node: Element) -> bool:
    """Tell whether an object is marked as difficult.

    Raises:
        ValueError: Neither yes nor no.
    """
    text = (node.findtext('difficult') or '').strip().lower()
    if text not in {*YES, *NO}:
        raise ValueError(f'has <difficult>{text}, expected 0 or 1')
    return text in YES


def _number(size: Element, tag: str) -> int:
    return int(float(size.findtext(tag) or 0))


def _read(pascal_voc, node: Element, size: tuple[int, int]) -> Detected:
    box = {key: float(node.findtext(f'bndbox/{key}') or 'nan') for key in CORNERS}
    if box['xmax'] < box['xmin'] or box['ymax'] < box['ymin']:  # supervision swaps them
        raise UserError(f'its box has a negative size: {box}')
    root = Element('annotation')
    root.append(node)
    masks = node.find('polygon') is not None
    return pascal_voc.detections_from_xml_obj(root, [], size, force_masks=masks)[
        0
    ], None


def _folders(root: Path) -> tuple[list[tuple[str, Path, Path]], list[Fault]]:
    """Return (split, folder of xml files, folder of images); and those left out."""
    annotations = folder_named(root, 'annotations')
    images = folder_named(root, 'jpegimages', 'images')
    if annotations is not None and images is not None and _holds_xml(annotations):
        inner = [(s, f) for s, f in split_folders(annotations) if _holds_xml(f)]
        if not inner:
            return [('', annotations, images)], []
        files = list_files(annotations, '.xml')
        faults = unread_annotations(annotations, [f for _, f in inner], files)
        return [(split, f, images / f.name) for split, f in inner], faults
    folders = list(split_folders(root))
    pairs = {folder: _pairs(folder) for _, folder in folders}
    if not any(pairs.values()):
        pair = _pairs(root)
        return [('', *pair)] if pair else [], []
    stems = {path.stem for path in list_images(root)}
    files = [file for file in list_files(root, '.xml') if file.stem in stems]
    faults = unread_annotations(root, pairs, files)
    return [(s, *(pairs[f] or (f, f))) for s, f in folders], faults


def _pairs(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of xml files and images inside one, None without xml."""
    annotations = folder_named(folder, 'annotations')
    images = folder_named(folder, 'jpegimages', 'images')
    if annotations is not None and images is not None and _holds_xml(annotations):
        return annotations, images
    return (folder, folder) if _holds_xml(folder) else None


def _holds_xml(folder: Path) -> bool:
    return bool(list_files(folder, '.xml'))


def _items(
    split: str, annotations: Path, images: Path
) -> tuple[list[Item[Path | None]], list[Fault]]:
    found, faults = images_by_stem(images) if images.is_dir() else ({}, [])
    items: dict[str, Item[Path | None]] = {
        stem: Item(path, None, split) for stem, path in found.items()
    }
    for file in list_files(annotations, '.xml'):
        place = file.relative_to(annotations)
        stem = place.with_suffix('').as_posix()
        stated = place.with_name(_stated_name(file)).with_suffix('').as_posix()
        item = items.get(stated) or items.get(stem)
        if stated != stem and stem in items:
            faults.append(_other_name(file, stem, items.get(stated)))
        if stated != stem and stem in items and stated in items:
            continue
        if item is None:
            faults.append(missing_image(file, f'{images / stem}.jpg'))
        elif item.annotation is not None:
            message = f'is for {item.image}, as is {item.annotation}: remove one'
            faults.append(Fault('error', 'duplicate-image', str(file), message))
        else:
            item.annotation = file
    return list(items.values()), faults


def _other_name(file: Path, stem: str, stated: Item | None) -> Fault:
    """Return the fault of an xml that states another image than the one of its name."""
    if stated is None:
        message = (
            f'states <filename>{_stated_name(file)}, which is not there: it is read '
            f'for the image of its own name, {stem}; correct <filename>'
        )
        return Fault('warning', 'other-name', str(file), message)
    message = (
        f'states <filename>{_stated_name(file)}, but there is an image of its own name '
        f'too, {stem}: its boxes may be of either; correct <filename>, or rename it'
    )
    return Fault('error', 'other-name', str(file), message)


def _stated_name(file: Path) -> str:
    """Return the name of the image that an xml states, else its own."""
    with file.open(encoding='utf-8', errors='replace') as stream:
        found = FILENAME.search(stream.read(1 << 12))
    return (found and PureWindowsPath(unescape(found[1].strip())).name) or file.name


def _divide(
    items: list[Item[Path | None]], root: Path
) -> tuple[dict[str, str], list[Item[Path | None]], list[Fault]]:
    """Divide the images as the lists in ImageSets/Main do.

    Returns:
        Name -> split, empty without lists; the images that are listed, each with its
        split set; and what is wrong with the lists.
    """
    lists = root / 'ImageSets' / 'Main'
    images = folder_named(root, 'jpegimages', 'images') or root
    annotations = folder_named(root, 'annotations') or root
    by_name = {_name(item.image, images): item for item in items}
    names = {name: name for name in by_name}
    for name, item in by_name.items():  # an image and its xml may have two names
        if item.annotation is not None:
            names[_name(item.annotation, annotations)] = name
    split_of, faults = read_lists(lists, images, names)
    for name, split in split_of.items():
        if name in by_name:
            by_name[name].split = split
        elif split != 'test':
            message = (
                f'lists {name!r}, but there is no image of this name: add it, or '
                f'remove the line'
            )
            file = str(lists / f'{split}.txt')
            faults.append(Fault('error', 'missing-image', file, message, name))
    if split_of:
        rest = [
            item.image
            for name, item in by_name.items()
            if item.annotation is not None and name not in split_of
        ]
        faults += left_out(rest, images, f'are annotated and in no list in {lists}')
    return split_of, [by_name[n] for n in split_of if n in by_name], faults


def _name(file: Path, folder: Path) -> str:
    """Return the path of a file from a folder, without suffix."""
    return file.relative_to(folder).with_suffix('').as_posix()
