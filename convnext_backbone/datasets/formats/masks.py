"""Recognises any other pair of folders: images, and masks of the same names.

They are ``images`` and ``masks`` or the like; or, as SegNet has them, a folder of a
split and one of its name with ``annot`` (``train``, ``trainannot``); or what the user
names with ``--images`` and ``--masks``.
"""

from collections.abc import Iterator
from pathlib import Path

from convnext_backbone.datasets.formats import ade20k, voc_masks
from convnext_backbone.datasets.formats.class_files import (
    find_class_file,
    read_class_file,
)
from convnext_backbone.datasets.formats.layout import (
    folder_named,
    split_folders,
    split_of,
)
from convnext_backbone.datasets.formats.mask_files import mask_source
from convnext_backbone.datasets.formats.mask_legend import Legend, colours_of
from convnext_backbone.datasets.formats.mask_numbers import find_numbers
from convnext_backbone.datasets.formats.mask_options import NO_OPTIONS, MaskOptions
from convnext_backbone.datasets.formats.mask_pairs import (
    Folders,
    divide,
    holds_masks,
    pair,
    splits_of,
    unread_images,
)
from convnext_backbone.datasets.formats.mask_readings import (
    legend_of_file,
    legend_of_numbers,
)
from convnext_backbone.datasets.records import Fault, Item, Source
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import list_folder

IMAGES = ('images', 'image', 'imgs', 'img', 'jpegimages')
MASKS = ('masks', 'mask', 'labels_png', 'labels', 'annotations', 'gt')
BESIDE = ('annot', '_annot', '_mask', '_masks', '_label', '_labels', '_gt')


def find(root: Path, options: MaskOptions = NO_OPTIONS) -> Source[Path] | None:
    """Recognise a data set of images and masks.

    Splits are folders in both (``images/train``), in one of them, or around them
    (``train/images``). See :mod:`.mask_readings` for how numbers become classes.

    Args:
        root: Its folder.
        options: What the user says of it.

    Raises:
        UserError: The class file is faulty or missing where it is needed, there are
            too many classes, or the options name folders that do not serve.
    """
    if not root.is_dir():
        return None
    both = options.folders(root)
    if both is None and (ade20k.find_folders(root) or voc_masks.find_folders(root)):
        return None
    if both is not None and not holds_masks(both[1]):
        raise UserError(f'--masks {both[1]} holds no picture: name the folder of masks')
    named = both
    both = both or _both(root)
    folders = list(divide(*both) if both is not None else _folders(root))
    if not folders:
        return None
    items, faults = pair(folders)
    if both is not None:
        faults += unread_images(both[0])
    legend, more = _legend(root, items, options.ignore_label)
    faults += more
    source = mask_source('masks', root, items, legend, faults, splits_of(folders))
    if named is not None and not named[0].is_relative_to(root):
        source.images = named[0]
    return source


def _folders(root: Path) -> Iterator[Folders]:
    """Yield the folders of images and masks of splits that are folders of their own."""
    names = {path.name.lower(): path for path in list_folder(root) if path.is_dir()}
    beside = [
        Folders(split_of(name), path, names[name + ending])
        for name, path in names.items()
        for ending in BESIDE
        if name + ending in names and split_of(name)
    ]
    if any(holds_masks(part.masks) for part in beside):
        yield from beside
        return
    for split, folder in split_folders(root):
        both = _both(folder)
        if both is not None:
            yield Folders(split, *both)


def _both(folder: Path) -> tuple[Path, Path] | None:
    images = folder_named(folder, *IMAGES)
    if images is None:
        return None
    for name in MASKS:
        masks = folder_named(folder, name)
        if masks is not None and holds_masks(masks):
            return images, masks
    return None


def _legend(
    root: Path, items: list[Item[Path]], ignore_label: int | None
) -> tuple[Legend, list[Fault]]:
    masks = [item.annotation for item in items]
    class_file = find_class_file(root)
    if class_file is None:
        found = find_numbers(masks, ())
        return legend_of_numbers(root, found, ignore_label=ignore_label)
    entries = read_class_file(class_file)
    found = find_numbers(masks, colours_of(entries))
    return legend_of_file(
        class_file, entries, found, len(masks), ignore_label=ignore_label
    )
