"""Reads what the runs of a training left in its work dir."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks.run_record import NAME as RECORD

NOT_METRICS = {'step', 'time', 'data_time', 'epoch', 'iter', 'memory'}


@dataclass(frozen=True)
class Run:
    """One start of a training: its folder, its lines of numbers, its record."""

    folder: Path
    lines: tuple[dict, ...]
    record: dict

    @property
    def train(self) -> list[dict]:
        """The lines of training, in their order."""
        return [line for line in self.lines if 'lr' in line or 'loss' in line]

    @property
    def val(self) -> list[dict]:
        """The lines of evaluations, in their order."""
        return [line for line in self.lines if not ('lr' in line or 'loss' in line)]

    @property
    def seconds(self) -> float:
        """How long it ran; from the iterations if it was never recorded."""
        if self.record.get('seconds'):
            return self.record['seconds']
        total, before = 0.0, None
        for line in self.train:
            # The first line of a resumed run stands for an unknown part of it.
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
        """Whether an evaluation's step is an epoch, not an iteration."""
        return any('epoch' in line for line in self.train)

    @property
    def records(self) -> list[dict]:
        """The ``run.json`` of every run that has one."""
        return [run.record for run in self.runs if run.record]

    @property
    def is_timed(self) -> bool:
        """Whether the runs' times were recorded, not estimated."""
        return all(run.record.get('seconds') for run in self.runs)

    @property
    def is_finished(self) -> bool:
        """Whether the last run came to its end, as far as that is recorded."""
        record = self.runs[-1].record
        return not record or record.get('finished') is not None


def read_history(work_dir: str | Path) -> History:
    """Read a work dir.

    Raises:
        UserError: It is none, or no training was started in it.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise UserError(
            f'work dir {work_dir} does not exist: give the --work-dir of a training'
        )
    configs = sorted(work_dir.glob('*/vis_data/config.py'))
    if not configs:
        raise UserError(
            f'{work_dir} is no work dir of a training: it has no '
            f'<time of start>/vis_data/config.py; give the --work-dir of a training'
        )
    runs = [_read_run(path.parents[1]) for path in configs]
    # Evaluations leave folders as well, without a line of training in them.
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
            # What a later run trained again is evaluated anew as well.
            [run.train[0][unit] if run.train else None for run in runs],
        ),
    )


def metric_names(lines: Iterable[dict]) -> list[str]:
    """Return the names of all metrics in lines of evaluations, in their order."""
    names = dict.fromkeys(name for line in lines for name in line)
    return [name for name in names if name not in NOT_METRICS]


def _read_run(folder: Path) -> Run:
    lines = []
    scalars = folder / 'vis_data' / 'scalars.json'
    if scalars.is_file():
        for text in scalars.read_text(encoding='utf-8').splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # cut short when the run was
                continue
            if isinstance(line, dict) and 'step' in line:
                lines.append(line)
    record = folder / RECORD
    content = json.loads(record.read_text('utf-8')) if record.is_file() else {}
    return Run(folder, tuple(lines), content)


def _join(
    parts: Iterable[list[dict]],
    key: Callable[[dict], float],
    starts: list[float | None] | None = None,
) -> list[dict]:
    """Join the lines of runs; from where a later one starts, it replaces the earlier.

    Args:
        parts: The lines of each run.
        key: Where a line stands.
        starts: Where each run starts, if that may be before its first line.
    """
    joined: list[dict] = []
    for number, lines in enumerate(parts):
        begin = [key(line) for line in lines]
        if starts and starts[number] is not None:
            begin.append(starts[number])
        if begin:
            joined = [line for line in joined if key(line) < min(begin)]
        joined += lines
    return joined
