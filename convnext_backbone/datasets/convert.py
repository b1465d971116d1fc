"""Writes a data set in the form that training reads; the originals stay as they are.

Detection: ``train.json`` and ``val.json`` (COCO). Segmentation: ``train.txt`` and
``val.txt``, the images' names, and ``masks/NAME.png`` (ADE20K's numbering: 0 is
ignored). Images are not copied: names are relative to the data set's folder.
"""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from convnext_backbone.datasets.checks import BACKGROUND, against_background
from convnext_backbone.datasets.processes import map_images
from convnext_backbone.datasets.records import Instance, Item, Record, Source
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import write_bytes
from convnext_backbone.foundation.png import write_png

SPLITS = ('train', 'val')
CHUNK = 8  # masks a process gets at a time


def image_name(source: Source, image: Path) -> str:
    """Return an image's name in the data set: its path from the data set's folder."""
    inside = image.is_relative_to(source.folder)
    return os.path.relpath(image, source.folder) if inside else str(image)


def use_masks(records: Sequence[Record]) -> bool:
    """Tell whether instance masks can be trained: most objects have one."""
    objects = [i for r in records for i in r.instances if not i.crowd]
    return sum(i.segmentation is not None for i in objects) * 2 > len(objects)


def write_detection(
    source: Source, records: Sequence[Record], classes: Sequence[str], out: Path
) -> None:
    """Write the COCO json of each split.

    Args:
        source: The data set.
        records: What was read of it, splits set.
        classes: The classes to keep, in label order.
        out: Folder that receives the files.

    Raises:
        UserError: They cannot be written.
    """
    masks = use_masks(records)
    numbers = {name: i for i, name in enumerate(classes, start=1)}
    for split in SPLITS:
        images: list[dict] = []
        annotations: list[dict] = []
        for record in records:
            if record.split != split:
                continue
            image = {
                'id': len(images) + 1,
                'file_name': image_name(source, record.image),
                'width': record.width,
                'height': record.height,
            }
            images.append(image)
            for instance in record.instances:
                if instance.category in numbers:
                    entry = annotation(instance, image, masks)
                    entry['id'] = len(annotations) + 1
                    entry['category_id'] = numbers[instance.category]
                    annotations.append(entry)
        content = {
            'images': images,
            'annotations': annotations,
            'categories': [{'id': i, 'name': name} for name, i in numbers.items()],
        }
        text = json.dumps(content, allow_nan=False)
        write_bytes(out / f'{split}.json', text.encode())


def annotation(instance: Instance, image: dict, masks: bool) -> dict:
    """Return an object as a COCO annotation, its box as the mask where it has none."""
    x1, y1, x2, y2 = instance.box
    entry = {
        'image_id': image['id'],
        'bbox': [x1, y1, x2 - x1, y2 - y1],
        'area': (x2 - x1) * (y2 - y1),
        'iscrowd': int(instance.crowd),
    }
    if not masks:
        return entry
    segmentation = instance.segmentation
    if segmentation is None:
        segmentation = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    entry['segmentation'] = segmentation
    height, width = image['height'], image['width']
    if isinstance(segmentation, list):
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    entry['area'] = int(coco_mask.area(runs))
    return entry


def write_segmentation(
    source: Source, records: Sequence[Record], classes: Sequence[str], out: Path
) -> None:
    """Write the masks and the list of each split; arguments as for detection.

    A single class is told apart from a background, which takes all other classes.
    Masks that are there already are left: a mask appears whole or not at all.
    """
    assert source.classes is not None  # of segmentation data
    names = against_background(source, classes)
    rest = 1 + names.index(BACKGROUND) if len(names) > len(classes) else 0
    table = np.zeros(256, np.uint8)
    for i, name in enumerate(source.classes, start=1):
        table[i] = names.index(name) + 1 if name in names else rest
    items = {item.image: item for item in source.items}
    wanted = [items[r.image] for r in records if r.split in SPLITS]
    write = partial(_write_mask, source, table, out)
    map_images(write, wanted, 'Converting masks', chunk=CHUNK)
    for split in SPLITS:
        images = [image_name(source, r.image) for r in records if r.split == split]
        text = ''.join(f'{name}\n' for name in images)
        write_bytes(out / f'{split}.txt', text.encode())


def _write_mask(source: Source, table: np.ndarray, out: Path, item: Item) -> None:
    path = out / 'masks' / f'{image_name(source, item.image)}.png'
    if path.is_file():
        return
    assert source.read_labels is not None  # of segmentation data
    labels, faults = source.read_labels(item)
    if labels is None:  # the mask was changed after it was checked
        raise UserError(f'{faults[0].file} {faults[0].message}')
    write_png(path, table[labels])
