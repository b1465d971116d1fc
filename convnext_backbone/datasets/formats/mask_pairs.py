"""Finds the mask of each image, by name, in two folders."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from convnext_backbone.datasets.formats.layout import (
    is_image,
    list_images,
    split_folders,
)
from convnext_backbone.datasets.records import Fault, Item

# What names of masks have after the name of their image.
SUFFIXES = (
    '',
    '_mask',
    '_masks',
    '_label',
    '_labels',
    '_labelIds',
    '_gt',
    '_seg',
    '_segmentation',
    '_L',
)


@dataclass(frozen=True)
class Folders:
    """Where the images and the masks of a split are."""

    split: str
    images: Path
    masks: Path


def splits_of(folders: Iterable[Folders]) -> tuple[str, ...]:
    """Return the splits, those without an image too."""
    return tuple(dict.fromkeys(part.split for part in folders if part.split))


def holds_masks(folder: Path) -> bool:
    """Tell whether there is a picture in a folder, or in one below it."""
    return folder.is_dir() and any(is_image(path) for path in folder.rglob('*'))


def divide(images: Path, masks: Path) -> Iterator[Folders]:
    """Yield the folders of each split; those themselves where there is no split.

    One of the two may be divided alone: names tell what belongs together.
    """
    of_images, of_masks = dict(split_folders(images)), dict(split_folders(masks))
    for split in {**of_images, **of_masks}:
        yield Folders(
            split,
            of_images.get(split, images / split) if of_images else images,
            of_masks.get(split, masks / split) if of_masks else masks,
        )
    if not of_images and not of_masks:
        yield Folders('', images, masks)


def pair(folders: Iterable[Folders]) -> tuple[list[Item], list[Fault]]:
    """Pair the images with their masks, in folders of the same names below.

    Returns:
        The images that have a mask; and the images and masks that have no other half.
        Test images need none: they are left out.
    """
    folders = list(folders)
    masks = {f.masks: _by_name(f.masks) for f in folders}
    items: list[Item] = []
    single: dict[Path, Folders] = {}
    paired: set[Path] = set()
    used: set[tuple[Path, tuple[Path, str]]] = set()
    for here in folders:
        for image in list_images(here.images):
            below, stem = image.parent.relative_to(here.images), image.stem
            names = ((below, stem + suffix) for suffix in SUFFIXES)
            name = next((name for name in names if name in masks[here.masks]), None)
            if name is not None:
                items.append(Item(image, masks[here.masks][name], here.split))
                paired.add(image)
                used.add((here.masks, name))
            elif here.split != 'test':
                single[image] = here
    faults = []
    for image, here in single.items():
        if image not in paired:
            place = here.masks / image.relative_to(here.images).with_suffix('.png')
            message = f'has no mask: expected {place}; add it, or take the image out'
            faults.append(Fault('error', 'missing-mask', str(image), message))
    for folder, names in masks.items():
        for name, mask in names.items():
            if (folder, name) not in used:
                message = 'has no image of its name: add it, or take the mask out'
                faults.append(Fault('error', 'missing-image', str(mask), message))
    return items, faults


def _by_name(folder: Path) -> dict[tuple[Path, str], Path]:
    """Return the masks by folder below and stem; of two alike, the PNG."""
    files = sorted(list_images(folder), key=lambda p: p.suffix.lower() == '.png')
    return {(path.parent.relative_to(folder), path.stem): path for path in files}
