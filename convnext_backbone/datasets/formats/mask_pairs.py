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
from convnext_backbone.datasets.formats.per_image import images_by_stem
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
        The images that have a mask; and the images and masks that have no other half,
        or more than one. Test images need none: they are left out.
    """
    folders = sorted(folders, key=lambda here: here.split == 'test')
    images = {here.images: images_by_stem(here.images) for here in folders}
    masks = {here.masks: masks_by_stem(here.masks) for here in folders}
    faults = [
        fault for _, more in (*images.values(), *masks.values()) for fault in more
    ]
    items: dict[Path, Item[Path]] = {}
    owners: dict[Path, Path] = {}  # mask -> image
    single: dict[Path, Folders] = {}
    for here in folders:
        found, there = images[here.images][0], masks[here.masks][0]
        for stem, image in found.items():
            mask = _mask_of(stem, there, found)
            if mask is None:
                if here.split != 'test':
                    single[image] = here
                continue
            owner = owners.setdefault(mask, image)
            if image in items:
                faults.append(_two_masks(items[image], mask))
            elif owner == image:
                items[image] = Item(image, mask, here.split)
            elif here.split != 'test':
                faults.append(_shared_mask(image, owner, mask))
    for image, here in single.items():
        if image not in items:
            place = here.masks / image.relative_to(here.images).with_suffix('.png')
            message = f'has no mask: expected {place}; add it, or remove the image'
            faults.append(Fault('error', 'missing-mask', str(image), message))
    for there, _ in masks.values():
        for mask in there.values():
            if mask not in owners:
                message = 'has no image of its name: add it, or remove the mask'
                faults.append(Fault('error', 'missing-image', str(mask), message))
    return list(items.values()), faults


def _mask_of(stem: str, masks: dict[str, Path], images: dict[str, Path]) -> Path | None:
    """Return the mask of an image, which is not another image's: a_gt may be one."""
    for suffix in SUFFIXES:
        name = stem + suffix
        if name in masks and (not suffix or name not in images):
            return masks[name]
    return None


def _two_masks(item: Item[Path], mask: Path) -> Fault:
    message = f'has two masks, {item.annotation} and {mask}: remove the wrong one'
    return Fault('error', 'duplicate-mask', str(item.image), message)


def _shared_mask(image: Path, owner: Path, mask: Path) -> Fault:
    message = (
        f'has the same name as {owner}, and {mask} may be the mask of either: divide '
        f'the masks into folders as the images are'
    )
    return Fault('error', 'shared-mask', str(image), message)


def masks_by_stem(folder: Path) -> tuple[dict[str, Path], list[Fault]]:
    """Return the masks below a folder by their path without suffix, from the folder.

    Of two that differ in the suffix only, a JPEG is taken for a preview of the other.
    """
    masks: dict[str, Path] = {}
    faults = []
    for path in sorted(list_images(folder), key=_is_jpeg):
        stem = path.relative_to(folder).with_suffix('').as_posix()
        if stem in masks and not _is_jpeg(path):
            message = f'is for the same image as {masks[stem]}: remove one of them'
            faults.append(Fault('error', 'duplicate-mask', str(path), message))
        masks.setdefault(stem, path)
    return masks, faults


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in ('.jpg', '.jpeg')
