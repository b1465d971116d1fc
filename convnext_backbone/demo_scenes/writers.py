"""Writes scenes in the two annotation formats: COCO json and index PNGs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from convnext_backbone.demo_scenes.scenes import Scene
from convnext_backbone.demo_scenes.shapes import CLASSES
from convnext_backbone.foundation.files import write_bytes
from convnext_backbone.foundation.png import write_png

BACKGROUND = 1  # in index PNGs; 0 is left to pixels that nobody labelled
PNG_LEVEL = 3  # of compression; the bytes of a data set depend on it


def index_map(scene: Scene) -> np.ndarray:
    """Return the class of every pixel, numbered as in ADE20K's index PNGs.

    Returns:
        uint8 (H, W): 1 for the background, 2 + i for class i of `CLASSES`. With
        ``reduce_zero_label=True`` they become 0 and 1 + i, the indices into
        `SEG_CLASSES`.
    """
    index = np.full(scene.image.shape[:2], BACKGROUND, np.uint8)
    for label, mask in zip(scene.labels, scene.masks, strict=True):
        index[mask] = BACKGROUND + 1 + label
    return index


def coco_annotations(
    scene: Scene, image_id: int, first_id: int
) -> list[dict[str, object]]:
    """Return the objects of a scene as COCO annotations.

    Masks are compressed run lengths, since polygons cannot have holes. Boxes
    (x, y, w, h) are the tightest around the visible pixels.

    Args:
        scene: The scene.
        image_id: Its id in the json.
        first_id: Id of its first annotation; the others follow.

    Returns:
        One annotation an object.
    """
    annotations = []
    for number, (label, mask) in enumerate(zip(scene.labels, scene.masks, strict=True)):
        runs = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        annotations.append(
            {
                'id': first_id + number,
                'image_id': image_id,
                'category_id': int(label) + 1,
                'bbox': coco_mask.toBbox(runs).tolist(),
                'area': int(coco_mask.area(runs)),
                'iscrowd': 0,
                'segmentation': {
                    'size': list(mask.shape),
                    'counts': runs['counts'].decode('ascii'),
                },
            }
        )
    return annotations


def write_split(
    root: Path, subset: str, json_name: str, scenes: Iterable[Scene]
) -> None:
    """Write one split of a data set: pictures, index PNGs and a COCO json.

    Args:
        root: Folder of the data set. The pictures go to ``images/SUBSET``, the
            index PNGs of the same names to ``annotations/SUBSET``.
        subset: ADE20K's name of the split, ``training`` or ``validation``.
        json_name: Name of the COCO json in ``annotations``.
        scenes: What to write; drawn one by one, so that a generator serves.

    Raises:
        UserError: If something cannot be written.
    """
    image_dir, index_dir = root / 'images' / subset, root / 'annotations' / subset
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, scene in enumerate(scenes):
        name = image_name(number)
        write_png(image_dir / name, scene.image, PNG_LEVEL)
        write_png(index_dir / name, index_map(scene), PNG_LEVEL)
        height, width = scene.image.shape[:2]
        image_id = number + 1
        images.append(
            {'id': image_id, 'file_name': name, 'height': height, 'width': width}
        )
        annotations += coco_annotations(scene, image_id, len(annotations) + 1)
    write_coco(root / 'annotations' / json_name, images, annotations)


def write_coco(
    path: Path,
    images: Sequence[dict[str, object]],
    annotations: Sequence[dict[str, object]],
) -> None:
    """Write a COCO json, one record a line.

    Args:
        path: The file to write.
        images: COCO's image records.
        annotations: COCO's annotation records.

    Raises:
        UserError: If the file cannot be written.
    """
    categories = [{'id': i, 'name': c} for i, c in enumerate(CLASSES, start=1)]
    tables = {
        'categories': categories,
        'images': images,
        'annotations': annotations,
    }
    text = ',\n'.join(
        f'"{table}": [\n' + ',\n'.join(json.dumps(r) for r in records) + '\n]'
        for table, records in tables.items()
    )
    write_bytes(path, ('{' + text + '}\n').encode())


def image_name(number: int) -> str:
    """Return the file name of a split's picture with a number, counted from 0."""
    return f'{number:05d}.png'
