"""Reads the logs and records that the runs of a training left in its work dir."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import MMLogger

from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.tasks.run_record import NAME as RECORD

NOT_METRICS = {'step', 'time', 'data_time', 'epoch', 'iter', 'memory'}


@dataclass(frozen=True)
class Run:
    """One run of a training: its folder, the lines of its log, its ``run.json``."""

    folder: Path
    lines: tuple[dict, ...]
    record: dict

    @property
    def train(self) -> list[dict]:
        """The log lines of training iterations, in their order."""
        return [line for line in self.lines if 'lr' in line or 'loss' in line]

    @property
    def val(self) -> list[dict]:
        """The log lines of evaluations, in their order."""
        return [line for line in self.lines if not ('lr' in line or 'loss' in line)]

    @property
    def seconds(self) -> float:
        """The duration, estimated from the iterations if it was not recorded."""
        if self.record.get('seconds'):
            return self.record['seconds']
        total, before = 0.0, None
        for line in self.train:
            # How many iterations the first line of a resumed run is for is unknown.
            steps = line['step'] - before if before is not None else 0
            total += max(0, steps) * line.get('time', 0)
            before = line['step']
        return total


@dataclass(frozen=True)
class History:
    """All runs of a training, joined."""

    work_dir: Path
    runs: tuple[Run, ...]
    config: Path  # resolved, of the latest run
    train: list[dict]
    val: list[dict]

    @property
    def by_epoch(self) -> bool:
        """Whether the steps of evaluations are epochs; if not, they are iterations."""
        return any('epoch' in line for line in self.train)

    @property
    def records(self) -> list[dict]:
        """The ``run.json`` of every run that has one."""
        return [run.record for run in self.runs if run.record]

    @property
    def is_timed(self) -> bool:
        """Whether the durations of all runs were recorded, and none is an estimate."""
        return all(run.record.get('seconds') for run in self.runs)

    @property
    def is_finished(self) -> bool:
        """Whether the last run ended, as far as that is recorded."""
        record = self.runs[-1].record
        return not record or record.get('finished') is not None


def read_history(work_dir: str | Path) -> History:
    """Read a work dir.

    Raises:
        UserError: It does not exist, no training was started in it, or a file in it
            cannot be read.
    """
    work_dir = Path(work_dir)
    with os_errors_told(f'reading the work dir {work_dir}'):
        exists = work_dir.is_dir()
        configs = sorted(work_dir.glob('*/vis_data/config.py'))
    if not exists:
        raise UserError(
            f'work dir {work_dir} does not exist: give the --work-dir of a training'
        )
    if not configs:
        raise UserError(
            f'{work_dir} is not the work dir of a training: it has no '
            f'<time of start>/vis_data/config.py; give the --work-dir of a training'
        )
    runs = [_read_run(path.parents[1]) for path in configs]
    # Evaluations leave folders too, whose logs have no line of a training.
    runs = [run for run in runs if run.record or run.train] or runs[-1:]
    by_epoch = any('epoch' in line for run in runs for line in run.train)
    unit = 'epoch' if by_epoch else 'step'
    return History(
        work_dir=work_dir,
        runs=tuple(runs),
        config=runs[-1].folder / 'vis_data' / 'config.py',
        train=_join((run.train for run in runs), lambda line: line['step']),
        val=_join(
            (run.val for run in runs),
            lambda line: line['step'],
            # A later run also replaces the evaluations of what it trained again.
            [run.train[0][unit] if run.train else None for run in runs],
        ),
    )


def metric_names(lines: Iterable[dict]) -> list[str]:
    """Return the names of all metrics in log lines of evaluations, in their order."""
    names = dict.fromkeys(name for line in lines for name in line)
    return [name for name in names if name not in NOT_METRICS]


def _read_run(folder: Path) -> Run:
    """Read the log and the record of a run, as far as they exist."""
    scalars, record = folder / 'vis_data' / 'scalars.json', folder / RECORD
    lines = _read_lines(scalars) if scalars.is_file() else ()
    return Run(folder, lines, _read_record(record) if record.is_file() else {})


def _read_lines(path: Path) -> tuple[dict, ...]:
    """Read a log, one JSON object a line.

    Where a run was killed, the last line may be cut short. It is left out, and so is
    any other line that cannot be read, with a warning.
    """
    with os_errors_told('reading the log of the training'):
        texts = path.read_bytes().splitlines()
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError:
            if number < len(texts):
                MMLogger.get_current_instance().warning(
                    f'{path}, line {number}, is not valid JSON and is left out of the '
                    f'report'
                )
            continue
        if isinstance(line, dict) and 'step' in line:
            lines.append(line)
    return tuple(lines)


def _read_record(path: Path) -> dict:
    """Read a ``run.json``."""
    with os_errors_told('reading the record of the training'):
        text = path.read_bytes()
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(
            f'{path} is not valid JSON ({error}): correct it, or remove it, and the '
            f'report does without its times and its command'
        ) from error
    if not isinstance(content, dict):
        raise UserError(f'{path}: expected a JSON object: remove the file')
    return content


def _join(
    parts: Iterable[list[dict]],
    key: Callable[[dict], float],
    starts: list[float | None] | None = None,
) -> list[dict]:
    """Join the log lines of runs; from its start on, a run replaces earlier ones.

    Args:
        parts: The lines of each run.
        key: Returns the position of a line.
        starts: The position at which each run starts, if that may be before its first
            line.
    """
    joined: list[dict] = []
    for number, lines in enumerate(parts):
        begin = [key(line) for line in lines]
        start = starts[number] if starts else None
        if start is not None:
            begin.append(start)
        if begin:
            joined = [line for line in joined if key(line) < min(begin)]
        joined += lines
    return joined
