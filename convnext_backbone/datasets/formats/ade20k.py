"""Recognises ADE20K's layout: index masks where 0 is unlabelled, 1 the first class."""

from collections import Counter
from pathlib import Path

from convnext_backbone.datasets.formats.class_files import (
    ClassEntry,
    find_class_file,
    read_class_file,
)
from convnext_backbone.datasets.formats.layout import folder_named
from convnext_backbone.datasets.formats.mask_files import mask_source
from convnext_backbone.datasets.formats.mask_legend import (
    IGNORED_NUMBER,
    Legend,
    colours_of,
    make_legend,
)
from convnext_backbone.datasets.formats.mask_numbers import find_numbers
from convnext_backbone.datasets.formats.mask_options import NO_OPTIONS, MaskOptions
from convnext_backbone.datasets.formats.mask_pairs import (
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

OBJECTS = 'objectInfo150.txt'  # in ADE20K's own folder
COUNT = 150


def find_folders(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and masks, if the layout is ADE20K's."""
    if not root.is_dir():
        return None
    images, masks = folder_named(root, 'images'), folder_named(root, 'annotations')
    if images is None or masks is None or not (images / 'training').is_dir():
        return None
    return (images, masks) if holds_masks(masks / 'training') else None


def find(root: Path, options: MaskOptions = NO_OPTIONS) -> Source[Path] | None:
    """Recognise a data set in ADE20K's layout.

    Classes are those of a class file, else ADE20K's own where it is ADE20K or has as
    many, else they are called class_1 and so on.

    Raises:
        UserError: The class file is faulty, or there are too many classes.
    """
    folders = find_folders(root)
    if folders is None:
        return None
    parts = list(divide(*folders))
    items, faults = pair(parts)
    legend, more = _legend(root, items, options.ignore_label)
    return mask_source(
        'ade20k',
        root,
        items,
        legend,
        faults + unread_images(folders[0]) + more,
        splits_of(parts),
    )


def _legend(
    root: Path, items: list[Item[Path]], ignore_label: int | None
) -> tuple[Legend, list[Fault]]:
    masks = [item.annotation for item in items]
    class_file = find_class_file(root)
    if class_file is not None:
        entries = read_class_file(class_file)
        found = find_numbers(masks, colours_of(entries))
        return legend_of_file(
            class_file, entries, found, len(masks), first=1, ignore_label=ignore_label
        )
    own = (root / OBJECTS).is_file() and ignore_label is None
    found = Counter() if own else find_numbers(masks, ())
    highest = max(set(found) - {IGNORED_NUMBER}, default=0)
    if own or (highest == COUNT and ignore_label in (None, 0)):
        return _ade20k(root, own)
    return legend_of_numbers(root, found, first=1, ignore_label=ignore_label)


def _ade20k(root: Path, own: bool) -> tuple[Legend, list[Fault]]:
    from mmseg.utils import get_classes, get_palette  # takes seconds to load

    entries = [
        ClassEntry(name, tuple(colour))
        for name, colour in zip(
            get_classes('ade20k'), get_palette('ade20k'), strict=True
        )
    ]
    numbers = range(1, COUNT + 1)
    legend = make_legend(entries, numbers, "ADE20K's classes", (0, IGNORED_NUMBER))
    if own:
        return legend, []
    message = (
        f'no class file: the masks have numbers up to {COUNT}, which are taken for '
        f"ADE20K's classes; if they are others, write classes.txt with one name a line"
    )
    return legend, [Fault('warning', 'class-names', str(root), message)]
