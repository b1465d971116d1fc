"""Recognises any other pair of folders: images, and masks of the same names."""

from collections.abc import Iterator
from pathlib import Path

from convnext_backbone.datasets.formats import ade20k, voc_masks
from convnext_backbone.datasets.formats.class_files import (
    find_class_file,
    read_class_file,
)
from convnext_backbone.datasets.formats.layout import folder_named, split_folders
from convnext_backbone.datasets.formats.mask_files import mask_source
from convnext_backbone.datasets.formats.mask_legend import (
    Legend,
    colours_of,
    legend_of_file,
    legend_of_numbers,
)
from convnext_backbone.datasets.formats.mask_numbers import find_numbers
from convnext_backbone.datasets.formats.mask_pairs import (
    Folders,
    divide,
    holds_masks,
    pair,
    splits_of,
    unread_images,
)
from convnext_backbone.datasets.records import Fault, Item, Source

IMAGES = ('images', 'image', 'imgs', 'img', 'jpegimages')
MASKS = ('masks', 'mask', 'labels_png', 'labels', 'annotations', 'gt')


def find(root: Path) -> Source[Path] | None:
    """Recognise a data set of images and masks.

    Splits are folders in both (``images/train``), in one of them, or around them
    (``train/images``). See :mod:`.mask_legend` for how numbers become classes.

    Raises:
        UserError: The class file is faulty or missing where it is needed, or there
            are too many classes.
    """
    if ade20k.find_folders(root) or voc_masks.find_folders(root):
        return None
    folders = list(_folders(root))
    if not folders:
        return None
    items, faults = pair(folders)
    both = _both(root)
    if both is not None:
        faults += unread_images(both[0])
    legend, more = _legend(root, items)
    return mask_source('masks', root, items, legend, faults + more, splits_of(folders))


def _folders(root: Path) -> Iterator[Folders]:
    """Yield the folders of images and masks of each split."""
    if not root.is_dir():
        return
    both = _both(root)
    if both is not None:
        yield from divide(*both)
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


def _legend(root: Path, items: list[Item[Path]]) -> tuple[Legend, list[Fault]]:
    masks = [item.annotation for item in items]
    class_file = find_class_file(root)
    if class_file is None:
        return legend_of_numbers(root, find_numbers(masks, ()), first=0)
    entries = read_class_file(class_file)
    found = find_numbers(masks, colours_of(entries))
    return legend_of_file(class_file, entries, found, len(masks))
