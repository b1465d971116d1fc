"""Applies a function to many images in several processes, with a progress bar."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tqdm import tqdm

T = TypeVar('T')
R = TypeVar('R')

# The function and the items of a worker process, which it inherits by fork: a data set
# is large, and need not be pickled for each worker.
_job: tuple[Callable, Sequence] | None = None


def map_images(
    function: Callable[[T], R],
    items: Sequence[T],
    doing: str,
    *,
    chunk: int,
    workers: int | None = None,
) -> list[R]:
    """Return ``function(item)`` for each item, in their order.

    Args:
        function: Its results are pickled; it need not be itself.
        items: One for each image; those of one chunk are worked on in this process.
        doing: Title of the progress bar.
        chunk: Items that a process gets at a time.
        workers: Processes; None takes one for each core that this one may use.
    """
    workers = workers or len(os.sched_getaffinity(0))
    bar = dict(total=len(items), desc=doing, unit='img', file=sys.stderr)
    if workers == 1 or len(items) <= chunk:
        return [function(item) for item in tqdm(items, **bar)]
    workers = min(workers, -(-len(items) // chunk))
    context = multiprocessing.get_context('fork')
    job = ((function, items),)
    with ProcessPoolExecutor(workers, context, _start_worker, job) as pool:
        return list(tqdm(pool.map(_call, range(len(items)), chunksize=chunk), **bar))


def _start_worker(job: tuple[Callable, Sequence]) -> None:
    global _job
    _job = job


def _call(index: int) -> object:
    assert _job is not None  # _start_worker has set it
    function, items = _job
    return function(items[index])
