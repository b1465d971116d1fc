"""Reads every image of a data set with its annotations, in several processes."""

from functools import partial

import numpy as np

from convnext_backbone.datasets.images import check_image
from convnext_backbone.datasets.processes import map_images
from convnext_backbone.datasets.records import Fault, Item, Record, Source

CHUNK = 32  # images a process gets at a time


def scan(source: Source, workers: int | None = None) -> list[Record]:
    """Read a data set; what is wrong with an image is in its record.

    Args:
        source: The data set.
        workers: Processes; None takes one for each core that this one may use.

    Returns:
        A record for each of the source's items, in their order.
    """
    read = partial(read_record, source)
    return map_images(
        read, source.items, 'Reading images', chunk=CHUNK, workers=workers
    )


def read_record(source: Source, item: Item) -> Record:
    """Read one image with its annotations."""
    try:
        str(item.image).encode()
    except UnicodeEncodeError:
        name = str(item.image).encode('utf-8', 'surrogateescape').decode('latin-1')
        message = 'has a name that is not UTF-8: rename it'
        fault = Fault('error', 'bad-name', name, message)
        return Record(item.image, item.split, faults=[fault])
    image, faults = check_image(item.image)
    record = Record(item.image, item.split, faults=faults)
    if image is None:
        return record
    record.width, record.height = image.width, image.height
    record.thumbnail, record.peak = image.thumbnail, image.peak
    try:
        if source.read is not None:
            record.instances, faults = source.read(item, image.width, image.height)
            record.faults += faults
        else:
            _read_pixels(source, item, record)
    except OSError as error:
        message = f'cannot be read ({error.strerror or error}): make it readable'
        file = str(error.filename or item.image)
        record.faults.append(Fault('error', 'unreadable-annotation', file, message))
    return record


def _read_pixels(source: Source, item: Item, record: Record) -> None:
    """Count the pixels of each label in an image's mask."""
    assert source.read_labels is not None  # of segmentation data
    labels, faults = source.read_labels(item)
    record.faults += faults
    if labels is None:
        return
    if labels.shape != (record.height, record.width):
        height, width = labels.shape
        message = (
            f'has {width}x{height} pixels, its image {record.width}x{record.height}: '
            f'make them the same size'
        )
        record.faults.append(
            Fault('error', 'size-mismatch', str(item.annotation), message)
        )
    counts = np.bincount(labels.ravel(), minlength=256)
    record.pixels = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
