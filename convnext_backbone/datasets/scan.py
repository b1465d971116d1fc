"""Reads every image of a data set with its annotations, in several processes."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from tqdm import tqdm

from convnext_backbone.datasets.images import open_picture
from convnext_backbone.datasets.records import Fault, Item, Record, Source

CHUNK = 32  # images a process gets at a time
_source: Source | None = None  # of a worker process


def scan(source: Source, workers: int | None = None) -> list[Record]:
    """Read a data set; what is wrong with an image is in its record.

    Args:
        source: The data set.
        workers: Processes; None takes one for each core that this one may use.

    Returns:
        A record for each of the source's items, in their order.
    """
    count = len(source.items)
    workers = workers or len(os.sched_getaffinity(0))
    bar = dict(total=count, desc='Reading images', unit='img', file=sys.stderr)
    if workers == 1 or count <= CHUNK:
        return [read_item(source, item) for item in tqdm(source.items, **bar)]
    context = multiprocessing.get_context('fork')
    with ProcessPoolExecutor(workers, context, _start_worker, (source,)) as pool:
        return list(tqdm(pool.map(_read, range(count), chunksize=CHUNK), **bar))


def _start_worker(source: Source) -> None:
    global _source
    _source = source


def _read(index: int) -> Record:
    return read_item(_source, _source.items[index])


def read_item(source: Source, item: Item) -> Record:
    """Read one image with its annotations."""
    try:
        str(item.image).encode()
    except UnicodeEncodeError:
        name = str(item.image).encode('utf-8', 'surrogateescape').decode('latin-1')
        message = 'has a name that is not UTF-8: rename it'
        fault = Fault('error', 'bad-name', name, message)
        return Record(item.image, item.split, faults=[fault])
    picture, faults = open_picture(item.image)
    record = Record(item.image, item.split, faults=faults)
    if picture is None:
        return record
    record.width, record.height = picture.width, picture.height
    record.thumbnail = picture.thumbnail
    if source.task == 'det':
        record.instances, faults = source.read(item, picture.width, picture.height)
        record.faults += faults
        return record
    labels, faults = source.read_labels(item)
    record.faults += faults
    if labels is None:
        return record
    if labels.shape != (picture.height, picture.width):
        height, width = labels.shape
        message = (
            f'is {width}x{height}, its image {picture.width}x{picture.height} pixels: '
            f'make them the same'
        )
        record.faults.append(
            Fault('error', 'size-mismatch', str(item.annotation), message)
        )
    counts = np.bincount(labels.ravel(), minlength=256)
    record.pixels = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
    return record
