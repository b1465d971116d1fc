"""Recognises Pascal VOC's layout of semantic segmentation, which CVAT exports too."""

from pathlib import Path

from convnext_backbone.datasets.formats.class_files import (
    ClassEntry,
    find_class_file,
    read_class_file,
)
from convnext_backbone.datasets.formats.layout import folder_named, list_images
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
from convnext_backbone.datasets.formats.mask_pairs import holds_masks
from convnext_backbone.datasets.formats.mask_readings import (
    legend_of_file,
    legend_of_numbers,
)
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
    image_of = {path.stem: path for path in list_images(images)}
    mask_of = {path.stem: path for path in list_images(masks)}
    lists = root / 'ImageSets' / 'Segmentation'
    split_of, faults = _splits(lists)
    if not set(split_of.values()) - {'test'}:
        split_of = {**dict.fromkeys(mask_of, ''), **split_of}
    items = []
    for name, split in split_of.items():
        if name in image_of and name in mask_of:
            items.append(Item(image_of[name], mask_of[name], split))
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


def _splits(lists: Path) -> tuple[dict[str, str], list[Fault]]:
    """Return the split of each name in the lists; and the names in two of them.

    Without a list train.txt, all of trainval.txt but what val.txt has is for training.
    """
    names: dict[str, list[str]] = {}
    for split in ('train', 'val', 'test', 'trainval'):
        if (lists / f'{split}.txt').exists():
            file = lists / f'{split}.txt'
            text = file.read_text(encoding='utf-8-sig', errors='replace')
            names[split] = text.split()
    trainval = names.pop('trainval', [])
    if 'train' not in names:
        others = set(names.get('val', ()))
        names = {'train': [name for name in trainval if name not in others], **names}
    split_of: dict[str, str] = {}
    faults = []
    for split, listed in names.items():
        for name in listed:
            other = split_of.setdefault(name, split)
            if other != split:
                file = lists / f'{split}.txt'
                message = (
                    f'{name} is in {other}.txt and in {split}.txt: remove it from one'
                )
                fault = Fault('error', 'in-two-splits', str(file), message, name)
                faults.append(fault)
    return split_of, faults


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
