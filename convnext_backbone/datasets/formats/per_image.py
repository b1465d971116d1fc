"""What the formats with one annotation file for each image share.

supervision reads the objects, each by itself, so that a faulty one is reported with its
place in the file and the others are kept.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convnext_backbone.datasets.formats.boxes import check_box
from convnext_backbone.datasets.formats.layout import list_images
from convnext_backbone.datasets.records import Fault, Instance
from convnext_backbone.results.predictions import encode

if TYPE_CHECKING:
    from supervision import Detections  # takes a second to load

# One object: supervision's Detections of it, and its polygon (x1, y1, ...) if it is a
# single one.
Detected = tuple['Detections', list[float] | None]
# Its id (where it is in the file), its class, and how to read it.
Objects = Iterable[tuple[str, str, Callable[[], Detected]]]


def read_objects(
    objects: Objects, file: Path, width: int, height: int
) -> tuple[list[Instance], list[Fault]]:
    """Read the objects of one image.

    Args:
        objects: For each its id, its class, and a function that reads it.
        file: The annotation file, for messages.
        width: Of the image, in pixels.
        height: Likewise.

    Returns:
        The objects that can be used, and what is wrong with the others.
    """
    instances, faults = [], []
    for id, category, read in objects:
        try:
            found, polygon = read()
        except Exception as error:  # supervision raises whatever the content leads to
            message = f'cannot be read ({error}): correct it'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        x1, y1, x2, y2 = map(float, found.xyxy[0])
        instance = Instance(category, (x1, y1, x2, y2), id)
        if polygon is not None:
            instance.segmentation = [[round(value, 2) for value in polygon]]
        elif found.mask is not None:
            mask = np.asarray(found.mask[0])
            if mask.any():
                instance.segmentation = encode(mask)
        checked, more = check_box(instance, str(file), width, height)
        faults += more
        if checked is not None:
            instances.append(checked)
    return instances, faults


def size_fault(
    file: Path, stated: tuple[int, int], width: int, height: int
) -> list[Fault]:
    """Compare the size that an annotation states (0 for none) with the image's own."""
    differs = any(
        theirs and theirs != own
        for theirs, own in zip(stated, (width, height), strict=True)
    )
    if not differs or 0 in (width, height):
        return []
    swapped = ' (turned by its EXIF orientation)' if stated == (height, width) else ''
    message = (
        f'states an image of {stated[0]}x{stated[1]} pixels, but the image has '
        f'{width}x{height}{swapped}: boxes would be misplaced; annotate this image, or '
        f'restore the one that was annotated'
    )
    return [Fault('error', 'size-mismatch', str(file), message)]


def images_by_stem(folder: Path) -> tuple[dict[str, Path], list[Fault]]:
    """Return the images below a folder by their path without suffix, from the folder.

    Two that differ in the suffix only would share their annotations: an error.
    """
    images: dict[str, Path] = {}
    faults = []
    for path in list_images(folder):
        stem = path.relative_to(folder).with_suffix('').as_posix()
        if stem in images:
            message = f'has the same annotations as {images[stem]}: rename one of them'
            faults.append(Fault('error', 'duplicate-image', str(path), message))
        images.setdefault(stem, path)
    return images, faults


def missing_image(file: Path, image: str) -> Fault:
    """Return the fault of an annotation file whose image is missing."""
    message = f'is for {image}, which does not exist: add the image or remove this file'
    return Fault('error', 'missing-image', str(file), message)


def no_annotation(image: Path, what: str) -> Fault:
    """Return the fault of an image without an annotation file."""
    message = (
        f'has no {what}: it is taken as background, without any object; remove it if '
        f'it was not annotated'
    )
    return Fault('warning', 'no-annotation', str(image), message)
