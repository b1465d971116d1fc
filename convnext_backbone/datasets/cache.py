"""Checks and converts a data set once; later runs find the result in the cache."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from convnext_backbone.datasets import convert
from convnext_backbone.datasets.checks import (
    against_background,
    class_names,
    find_faults,
)
from convnext_backbone.datasets.records import Record, Source
from convnext_backbone.datasets.scan import scan
from convnext_backbone.datasets.splits import make_splits
from convnext_backbone.datasets.statistics import render_faults, statistics
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.home import home_dir
from convnext_backbone.foundation.json_files import read_json, write_json

VERSION = 2  # of what is written; data of another version is converted again
SUMMARY = 'dataset.json'  # written last: a folder with it is complete


@dataclass(frozen=True)
class Converted:
    """A data set in the form that training reads.

    Attributes:
        folder: Where it is, see :mod:`convnext_backbone.datasets.convert`.
        images: The folder that the images' names start from: the user's own.
        numbers: Its statistics: see :func:`~.statistics.statistics`; and ``masks``:
            whether it has instance masks, ``divided``: whether we made its splits.
        news: Whether it was converted just now.
    """

    folder: Path
    images: Path
    numbers: dict
    news: bool


def cache_folder(source: Source, classes: Sequence[str] | None, seed: int) -> Path:
    """Return where a data set is kept converted, as it is now."""
    key = fingerprint(source, classes, seed)
    return home_dir('datasets') / f'{source.root.stem}-{key[:12]}'


def prepare(source: Source, classes: Sequence[str] | None, seed: int) -> Converted:
    """Check a data set and convert it, unless that was done before.

    Args:
        source: The data set.
        classes: The classes to keep, in label order; None keeps all.
        seed: Of the division into training and validation, where one is to be made.

    Raises:
        UserError: The data has errors, which the message lists, or the cache cannot
            be written.
    """
    folder = cache_folder(source, classes, seed)
    with os_errors_told(f'writing to the cache (CONVNEXT_HOME) {folder.parent}'):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f'{folder}.lock').acquire()
    with lock:
        if (folder / SUMMARY).is_file():
            numbers = read_json(folder / SUMMARY, dict)
            return Converted(folder, source.folder, numbers, news=False)
        records, numbers = read(source, classes, seed)
        names = numbers['classes']
        # Each file that an interrupted run left is complete: see convert.py.
        if source.task == 'det':
            convert.write_detection(source, records, names, folder)
        else:
            convert.write_segmentation(source, records, classes or names, folder)
        splits = {
            split: [
                convert.image_name(source, record.image)
                for record in records
                if record.split == split
            ]
            for split in convert.SPLITS
        }
        made_by = f'stratified, seed {seed}' if numbers['divided'] else 'the data set'
        write_json(folder / 'splits.json', {'made_by': made_by, **splits})
        write_json(folder / SUMMARY, numbers)
    return Converted(folder, source.folder, numbers, news=True)


def read(
    source: Source, classes: Sequence[str] | None, seed: int
) -> tuple[list[Record], dict]:
    """Read and check a data set, divide it if needed, and count what it has.

    Raises:
        UserError: The data has errors; the message lists them.
    """
    records = scan(source)
    faults = find_faults(source, records, classes)
    errors = [fault for fault in faults if fault.level == 'error']
    if errors:
        raise UserError(
            f'{source.root} has {len(errors)} errors; correct them, or remove what is '
            f'faulty:\n{render_faults(errors)}'
        )
    every = class_names(source, records)
    names = against_background(source, classes or every)
    for record in records:
        record.instances = [i for i in record.instances if i.category in names]
    divided = make_splits(records, seed)
    check_wanted(source, records, tuple(classes or every))
    numbers = statistics(source, records)
    numbers |= {'classes': list(names), 'divided': divided}
    numbers['masks'] = source.task == 'det' and convert.use_masks(records)
    colours = dict(zip(every, source.palette or [], strict=False))
    black = (0, 0, 0)  # of a background that the data does not name
    numbers['palette'] = [colours.get(n, black) for n in names] if colours else None
    numbers['warnings'] = render_faults(faults)
    return records, numbers


def check_wanted(
    source: Source, records: Sequence[Record], names: Sequence[str]
) -> None:
    """Raise UserError unless both splits have something of the wanted classes."""
    numbers = {i for i, name in enumerate(source.classes or (), 1) if name in names}
    for split in convert.SPLITS:
        part = [record for record in records if record.split == split]
        objects = (i for r in part for i in r.instances if not i.crowd)
        if not any(objects) and not any(numbers.intersection(r.pixels) for r in part):
            raise UserError(
                f'{source.root}: none of the {len(part)} {split} images has anything '
                f'of the classes {", ".join(names)}: training needs such images in '
                f'both train and val'
            )


def fingerprint(source: Source, classes: Sequence[str] | None, seed: int) -> str:
    """Return a hash of what a data set is read from (names, sizes, times) and how."""
    data = (str(source.root), str(source.folder), source.format, source.reading)
    options = (VERSION, *data, source.classes, source.palette)
    wanted = classes and tuple(classes)
    digest = hashlib.sha256(repr((options, wanted, seed)).encode())
    files: set[Path | str | None] = set()
    for item in source.items:
        note = item.annotation
        note = note[0] if isinstance(note, tuple) else note
        digest.update(repr((str(item.image), item.split, str(note))).encode())
        files.update((item.image, note))
    for file in sorted(map(str, files - {None})):
        try:
            state = os.stat(file)
        except OSError:
            continue  # a missing file, which the check reports
        entry = (file, state.st_size, state.st_mtime_ns)
        digest.update(repr(entry).encode())
    return digest.hexdigest()
