"""Finds the mask of each image, by name, in two folders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from convnext_backbone.datasets.formats.layout import (
    is_image,
    list_images,
    split_folders,
)
from convnext_backbone.datasets.records import Fault, Item
from convnext_backbone.foundation.files import list_folder, walk

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
    return folder.is_dir() and any(is_image(path) for path in walk(folder))


def divide(images: Path, masks: Path) -> Iterator[Folders]:
    """Yield the folders of each split; those themselves where there is no split.

    One of the two may be divided alone: names tell what belongs together.
    """
    of_images, of_masks = _by_split(images), _by_split(masks)
    for split in {**of_images, **of_masks}:
        here = of_images.get(split, [images / split]) if of_images else [images]
        there = of_masks.get(split, [masks / split]) if of_masks else [masks]
        for one, other in _couples(here, there):
            found = one or other
            assert found is not None  # at most one of them is missing
            name = found.name
            yield Folders(split, one or images / name, other or masks / name)
    if not of_images and not of_masks:
        yield Folders('', images, masks)


def _by_split(folder: Path) -> dict[str, list[Path]]:
    folders: dict[str, list[Path]] = {}
    for split, path in split_folders(folder):
        folders.setdefault(split, []).append(path)
    return folders


def _couples(
    images: list[Path], masks: list[Path]
) -> Iterator[tuple[Path | None, Path | None]]:
    """Yield which folders of a split may belong together, None for a missing one.

    Those of one name do, and with no others: both may hold an image 1.jpg.
    """
    shared = {path.name for path in images} & {path.name for path in masks}
    rest_images = [path for path in images if path.name not in shared]
    rest_masks = [path for path in masks if path.name not in shared]
    masks_named = {path.name: path for path in masks}
    yield from ((p, masks_named[p.name]) for p in images if p.name in shared)
    missing: Sequence[Path | None] = [None]
    yield from product(rest_images, rest_masks or masks or missing)
    if not rest_images:
        yield from product(images or missing, rest_masks)


def unread_images(images: Path) -> list[Fault]:
    """Return a fault for each folder of images that belongs to no split.

    Args:
        images: The folder of the splits' folders; without any, all in it is read.
    """
    read = [path for _, path in split_folders(images)]
    if not read:
        return []
    unread = [
        path
        for path in list_folder(images)
        if path not in read and not path.name.startswith('.') and holds_masks(path)
    ]
    if any(map(is_image, list_folder(images))):
        unread.append(images)
    names = ', '.join(path.name for path in read)
    message = (
        f'has images that belong to no split, unlike {names}: move them into one of '
        f'these folders, or elsewhere'
    )
    return [Fault('error', 'unread-folder', str(path), message) for path in unread]


def pair(folders: Iterable[Folders]) -> tuple[list[Item[Path]], list[Fault]]:
    """Pair the images with their masks, in folders of the same names below.

    Returns:
        The images that have a mask; and the images and masks that have no other half.
        Test images need none: they are left out.
    """
    folders = list(folders)
    masks = {f.masks: _by_name(f.masks) for f in folders}
    items: list[Item[Path]] = []
    single: dict[Path, Folders] = {}
    paired: set[Path] = set()
    used: dict[tuple[Path, tuple[Path, str]], Folders] = {}
    for here in folders:
        for image in list_images(here.images):
            below, stem = image.parent.relative_to(here.images), image.stem
            wanted = ((below, stem + suffix) for suffix in SUFFIXES)
            name = next((name for name in wanted if name in masks[here.masks]), None)
            owner = used.get((here.masks, name), here) if name else here
            # A mask belongs to one of the images of its name in a split's folders.
            mine = owner.split != here.split or owner.images == here.images
            if name is not None and mine:
                items.append(Item(image, masks[here.masks][name], here.split))
                paired.add(image)
                used[here.masks, name] = here
            elif here.split != 'test':
                single[image] = here
    faults = []
    for image, here in single.items():
        if image not in paired:
            place = here.masks / image.relative_to(here.images).with_suffix('.png')
            message = f'has no mask: expected {place}; add it, or remove the image'
            faults.append(Fault('error', 'missing-mask', str(image), message))
    for folder, names in masks.items():
        for name, mask in names.items():
            if (folder, name) not in used:
                message = 'has no image of its name: add it, or remove the mask'
                faults.append(Fault('error', 'missing-image', str(mask), message))
    return items, faults


def _by_name(folder: Path) -> dict[tuple[Path, str], Path]:
    """Return the masks by folder below and stem; of two alike, the PNG."""
    files = sorted(list_images(folder), key=lambda p: p.suffix.lower() == '.png')
    return {(path.parent.relative_to(folder), path.stem): path for path in files}
