"""Recognises Pascal VOC's layout of semantic segmentation, which CVAT exports too."""

from collections.abc import Iterable
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
    NOT_NUMBERED,
    Legend,
    colours_of,
    make_legend,
)
from convnext_backbone.datasets.formats.mask_numbers import find_numbers
from convnext_backbone.datasets.formats.mask_options import NO_OPTIONS, MaskOptions
from convnext_backbone.datasets.formats.mask_pairs import holds_masks, masks_by_stem
from convnext_backbone.datasets.formats.mask_readings import (
    legend_of_file,
    legend_of_numbers,
)
from convnext_backbone.datasets.formats.name_lists import left_out, read_lists
from convnext_backbone.datasets.formats.per_image import images_by_stem
from convnext_backbone.datasets.records import Fault, Item, Source

BORDER = ClassEntry(NOT_NUMBERED, (224, 224, 192))  # around VOC's objects, ignored


def find_folders(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and masks, if the layout is VOC's."""
    if not root.is_dir():
        return None
    images = folder_named(root, 'jpegimages')
    masks = folder_named(root, 'segmentationclass', 'segmentationclasspng')
    if images is None or masks is None or not holds_masks(masks):
        return None
    return images, masks


def find(root: Path, options: MaskOptions = NO_OPTIONS) -> Source[Path] | None:
    """Recognise a data set in VOC's layout.

    The lists in ImageSets/Segmentation tell which images are annotated, and the splits;
    without lists the masks do. Classes are those of a class file, else VOC's 21.

    Raises:
        UserError: The class file is faulty.
    """
    folders = find_folders(root)
    if folders is None:
        return None
    items, faults = _items(root, *folders)
    legend, more = _legend(root, items, options.ignore_label)
    return mask_source('voc-masks', root, items, legend, faults + more)


def _items(
    root: Path, images: Path, masks: Path
) -> tuple[list[Item[Path]], list[Fault]]:
    """Return the images with masks; and the images and masks with no other half."""
    image_of, faults = images_by_stem(images)
    mask_of, more = masks_by_stem(masks)
    partners = _partners(image_of, mask_of)
    lists = root / 'ImageSets' / 'Segmentation'
    names = {name: name for name in image_of}
    names |= {mask: name for name, mask in partners.items()}
    split_of, wrong = read_lists(lists, images, names)
    faults += more + wrong
    if set(split_of.values()) - {'test'}:
        rest = [image_of[name] for name in partners if name not in split_of]
        faults += left_out(rest, images, f'have a mask and are in no list in {lists}')
    else:
        single = mask_of.keys() - partners.values()
        split_of = dict.fromkeys((*partners, *sorted(single)), '') | split_of
        rest = [image_of[name] for name in image_of if name not in split_of]
        faults += left_out(rest, images, f'have no mask in {masks}')
    items = []
    for name, split in split_of.items():
        if name in partners:
            items.append(Item(image_of[name], mask_of[partners[name]], split))
        elif name not in image_of:
            path = mask_of.get(name, lists / f'{split}.txt')
            message = f'there is no {images / name}.jpg: add it, or remove its mask'
            faults.append(Fault('error', 'missing-image', str(path), message, name))
        elif split != 'test':
            message = (
                f'has no mask: expected {masks / name}.png; add it, or remove the '
                f'name from {lists / split}.txt'
            )
            fault = Fault('error', 'missing-mask', str(image_of[name]), message, name)
            faults.append(fault)
    return items, faults


def _partners(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, str]:
    """Return the name of each image's mask: the same path below the two folders.

    If one of the folders is not divided into the other's folders, the last part of the
    name is enough where no other image and no other mask has it.
    """
    partners = {name: name for name in images if name in masks}
    here, there = _by_last_part(images), _by_last_part(masks)
    for last, names in here.items():
        both = *names, *there.get(last, ())
        if len(names) == 1 and len(both) == 2 and last in both:
            partners[both[0]] = both[1]
    return partners


def _by_last_part(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition('/')[2], []).append(name)
    return found


def _legend(
    root: Path, items: list[Item[Path]], ignore_label: int | None
) -> tuple[Legend, list[Fault]]:
    masks = [item.annotation for item in items]
    class_file = find_class_file(root)
    if class_file is not None:
        entries = read_class_file(class_file)
        found = find_numbers(masks, colours_of(entries))
        return legend_of_file(
            class_file, entries, found, len(masks), ignore_label=ignore_label
        )

    entries = _own_classes()
    found = find_numbers(masks, colours_of([*entries, BORDER]))
    labels = set(found) - {IGNORED_NUMBER}
    binary = IGNORED_NUMBER in found and labels <= {0}
    if binary or ignore_label is not None or max(labels, default=0) >= len(entries):
        return legend_of_numbers(root, found, ignore_label=ignore_label)
    origin = f"VOC's classes (there is no class file in {root})"
    legend = make_legend(
        [*entries, BORDER], range(len(entries)), origin, coloured=not found
    )
    if not found:  # the masks have VOC's colours
        return legend, []
    message = (
        f'no class file: the masks have numbers up to {max(labels)} and not the '
        f"colours of VOC, but are taken for VOC's classes: 1 is {entries[1].name}; if "
        f'they are others, write classes.txt with one name a line'
    )
    return legend, [Fault('warning', 'class-names', str(root), message)]


def _own_classes() -> list[ClassEntry]:
    """Return VOC's classes with their colours."""
    from mmseg.utils import get_classes, get_palette  # takes seconds to load

    return [
        ClassEntry(name, tuple(colour))
        for name, colour in zip(get_classes('voc'), get_palette('voc'), strict=True)
    ]
