"""``run.json`` in the folder of each run: the command, how long, how much memory."""

import contextlib
import resource
import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process

from convnext_backbone.foundation.json_files import read_json, write_json

NAME = 'run.json'
PROGRAM = 'convnext-backbone'


@contextlib.contextmanager
def recorded(folder: str | Path, seed: int | None) -> Iterator[None]:
    """Write ``run.json`` before and after a training.

    ``command``, ``started``, ``device`` and ``seed``; and, null until training has
    come to its end: ``finished``, ``seconds`` and ``peak_memory_mb`` (of the GPU, on a
    CPU of this process).

    Args:
        folder: Receives the file.
        seed: The run's random seed.
    """
    path, started = Path(folder, NAME), datetime.now()
    entry = {
        'command': _command(),
        'started': started.isoformat(timespec='seconds'),
        'finished': None,
        'seconds': None,
        'peak_memory_mb': None,
        'device': get_device(),
        'seed': seed,
    }
    if is_main_process():
        write_json(path, entry)
    yield
    if is_main_process():
        ended = datetime.now()
        entry['finished'] = ended.isoformat(timespec='seconds')
        entry['seconds'] = (ended - started).total_seconds()
        entry['peak_memory_mb'] = round(_peak_memory())
        write_json(path, entry)


def _command() -> str:
    """Return the command line of this process."""
    program, *arguments = sys.argv
    if Path(program).name == PROGRAM:  # a script that pip wrote
        return shlex.join([PROGRAM, *arguments])
    return shlex.join(['python', program, *arguments])


def _peak_memory() -> float:
    """Return the peak memory in MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def last_run(work_dir: str | Path) -> dict:
    """Return the record of the latest run in a work dir, empty if there is none.

    Raises:
        UserError: The record cannot be read, or is damaged.
    """
    files = sorted(Path(work_dir).glob(f'*/{NAME}'))
    return read_json(files[-1], dict) if files else {}
