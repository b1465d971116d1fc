"""Finds which numbers occur in the masks of a data set, in several processes."""

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock

from convnext_backbone.datasets.formats.mask_files import numbers_of, open_mask
from convnext_backbone.datasets.processes import map_images
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.home import home_dir
from convnext_backbone.foundation.json_files import read_json, write_json

CHUNK = 64  # masks a process gets at a time


def find_numbers(masks: Sequence[Path], colours: Collection[int]) -> Counter[int]:
    """Return in how many index masks each number occurs; unreadable ones are left out.

    What was found in many masks is kept in the cache, for a training asks again.

    Args:
        masks: The files.
        colours: Those that have a meaning, as numbers 0xRRGGBB: masks in colours are
            left out then.

    Raises:
        UserError: A mask is in colours and they have no meaning.
    """
    if colours and masks:
        first, _ = open_mask(masks[0])
        if first is not None and first.ndim == 3:
            return Counter()  # a data set has one kind of them
    numbers_in = partial(_numbers_in, colours=colours)
    if len(masks) <= CHUNK:
        return _count(map(numbers_in, masks))
    file = home_dir('mask_numbers') / f'{_fingerprint(masks, colours)}.json'
    with contextlib.ExitStack() as stack:
        # The processes of one training ask at once.
        with contextlib.suppress(OSError):  # the cache saves time only
            file.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(f'{file}.lock'))
        if os.path.isfile(file):
            return Counter(dict(read_json(file, list)))
        found = _count(map_images(numbers_in, masks, 'Reading masks', chunk=CHUNK))
        with contextlib.suppress(UserError):
            write_json(file, sorted(found.items()))
        return found


def _count(found: Iterable[list[int]]) -> Counter[int]:
    return Counter(number for numbers in found for number in numbers)


def _numbers_in(path: Path, colours: Collection[int]) -> list[int]:
    """Return the numbers that occur in a mask."""
    mask, _ = open_mask(path, colours)
    if mask is None or (mask.ndim == 3 and colours):
        return []
    numbers = numbers_of(mask)
    if numbers is None:
        raise UserError(
            f'{path} is in colours, and no class file says what they mean: write '
            f'classes.txt with one line a class, name R G B'
        )
    if numbers.dtype == np.uint8:  # counting is quicker than sorting
        return np.flatnonzero(np.bincount(numbers.ravel())).tolist()
    return np.unique(numbers).tolist()


def _fingerprint(masks: Sequence[Path], colours: Collection[int]) -> str:
    """Return a hash of the colours and of the files' names, sizes and times."""
    digest = hashlib.sha256(repr(sorted(colours)).encode())
    for path in masks:
        try:
            state = path.stat()
        except OSError:  # such as a link to nothing, which cannot be read either
            continue
        digest.update(repr((str(path), state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()[:24]
