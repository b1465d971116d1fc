"""Finds which numbers occur in the masks of a data set, in several processes."""

import hashlib
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from convnext_backbone.datasets.formats.mask_files import numbers_of, open_mask
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.home import home_dir
from convnext_backbone.foundation.json_files import write_json

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
    if len(masks) <= CHUNK:
        return _numbers_in(masks, colours)
    file = home_dir('mask_numbers') / f'{_fingerprint(masks, colours)}.json'
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{file}.lock'):  # the processes of one training ask at once
            if not file.is_file():
                write_json(file, sorted(_in_parallel(masks, colours).items()))
        return Counter(dict(json.loads(file.read_text(encoding='utf-8'))))
    except OSError:  # nothing can be written there
        return _in_parallel(masks, colours)


def _in_parallel(masks: Sequence[Path], colours: Collection[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    chunks = [masks[i : i + CHUNK] for i in range(0, len(masks), CHUNK)]
    workers = min(len(chunks), len(os.sched_getaffinity(0)))
    context = multiprocessing.get_context('fork')
    bar = dict(total=len(masks), desc='Reading masks', unit='mask', file=sys.stderr)
    with ProcessPoolExecutor(workers, context) as pool, tqdm(**bar) as progress:
        results = pool.map(partial(_numbers_in, colours=colours), chunks)
        for chunk, numbers in zip(chunks, results, strict=True):
            found.update(numbers)
            progress.update(len(chunk))
    return found


def _numbers_in(masks: Sequence[Path], colours: Collection[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for path in masks:
        mask, _ = open_mask(path, colours)
        if mask is None or (mask.ndim == 3 and colours):
            continue
        numbers = numbers_of(mask)
        if numbers is None:
            raise UserError(
                f'{path} is in colours, and no class file says what they mean: write '
                f'classes.txt with one line a class, name R G B'
            )
        if numbers.dtype == np.uint8:  # counting is quicker than sorting
            found.update(np.flatnonzero(np.bincount(numbers.ravel())).tolist())
        else:
            found.update(np.unique(numbers).tolist())
    return found


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
