"""The measurements, as rows for JSON and as a table for a terminal."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TypedDict

from prettytable import PrettyTable

from convnext_backbone.export.timing import spread

# Values of a row's `what`, in the order of the table.
SUBJECTS = ('forward', 'forward_backward', 'train_step', 'infer')


@dataclass(frozen=True)
class Row:
    """One measurement of ours beside that of a peer.

    Attributes:
        what: 'forward', 'forward_backward', 'train_step' or 'infer'.
        arch: The name of the architecture, 'tiny' or 'tiny_v2'.
        drop_path: Drop path rate of the last block in training; 0 in eval mode.
        peer: The name of the peer.
        metric: 'seconds', a median, or 'peak_mb', the peak memory of a separate process
            in MB of 2**20 bytes; on a GPU the memory that PyTorch allocated there.
        ours: The value of ours.
        theirs: The value of the peer.
        with_cp: Level of checkpointing of ours. The peer recomputes its blocks only if
            this is True.
        variant: The mode of a forward pass, 'eval' or 'train', or the variant of our
            inference.
        batch: Number of images in a step.
        shape: Their height and width, pixels.
        threads: Number of PyTorch's threads on the CPU.
        spread_ours: Interquartile range of ours, relative to the median.
        spread_theirs: That of the peer.
        gemm_ours: FLOPs of convolutions and linear layers in a second of ours, relative
            to the fastest matrix product of the machine; None if not counted.
        gemm_theirs: The same for the peer.
        base_mb: Memory of our process before the model was built.
        device: The device.
        ratio: ``ours / theirs``.
    """

    what: str
    arch: str
    drop_path: float
    peer: str
    metric: str
    ours: float
    theirs: float
    with_cp: bool | str
    variant: str
    batch: int
    shape: tuple[int, int]
    threads: int
    device: str
    spread_ours: float | None = None
    spread_theirs: float | None = None
    gemm_ours: float | None = None
    gemm_theirs: float | None = None
    base_mb: float | None = None
    ratio: float = field(init=False)

    def __post_init__(self) -> None:
        """Compute the ratio."""
        object.__setattr__(self, 'ratio', self.ours / self.theirs)

    @property
    def subject(self) -> tuple:
        """The fields that the rows of one line of the table have in common."""
        return self.arch, self.what, self.variant, self.drop_path, self.with_cp


class Subject(TypedDict):
    """The fields of a :class:`Row` that are known before anything is measured."""

    what: str
    arch: str
    drop_path: float
    peer: str
    with_cp: bool | str
    variant: str
    batch: int
    shape: tuple[int, int]
    threads: int
    device: str


@dataclass(frozen=True)
class Absent:
    """A peer that could not be compared, and why."""

    arch: str
    peer: str
    with_cp: bool
    reason: str


def timed(
    subject: Subject,
    ours: list[float],
    theirs: list[float],
    flops: float | None = None,
    peak: float | None = None,
) -> Row:
    """Make the row of two lists of seconds.

    Args:
        subject: What was measured.
        ours: Seconds of ours in each round.
        theirs: Seconds of the peer in each round.
        flops: FLOPs of a round; None if not counted.
        peak: FLOP/s of the fastest matrix product of the machine.
    """
    medians = [statistics.median(ours), statistics.median(theirs)]
    gemm = [flops / m / peak if flops and peak else None for m in medians]
    return Row(
        **subject,
        metric='seconds',
        ours=medians[0],
        theirs=medians[1],
        spread_ours=spread(ours),
        spread_theirs=spread(theirs),
        gemm_ours=gemm[0],
        gemm_theirs=gemm[1],
    )


def as_json(rows: Sequence[Row]) -> list[dict]:
    """Return the rows as objects for JSON."""
    return [asdict(row) for row in rows]


def table(rows: Sequence[Row], absent: Sequence[Absent]) -> str:
    """Write the table: time and memory, a line for each subject and peer."""
    result = PrettyTable(
        [
            'arch',
            'what',
            'drop path',
            'with_cp',
            'peer',
            'ours ms',
            'theirs ms',
            'time ratio',
            'ours MB',
            'theirs MB',
            'memory ratio',
            'above base',
            'GEMM ours',
            'GEMM theirs',
        ]
    )
    result.align = 'r'
    for name in ('arch', 'what', 'peer'):
        result.align[name] = 'l'
    for arch in dict.fromkeys([row.arch for row in rows] + [a.arch for a in absent]):
        for line in _lines([row for row in rows if row.arch == arch]):
            result.add_row(line)
        for gone in absent:
            if gone.arch == arch:
                blank = [''] * 8
                with_cp = str(gone.with_cp)
                line = [arch, '', '', with_cp, gone.peer, gone.reason, *blank]
                result.add_row(line)
    return result.get_string()


def _lines(rows: list[Row]) -> list[list[str]]:
    """Write the lines of an architecture, with time and memory side by side."""
    lines: dict[tuple, dict[str, Row]] = {}
    for row in sorted(rows, key=lambda row: SUBJECTS.index(row.what)):
        lines.setdefault((*row.subject, row.peer), {})[row.metric] = row
    return [_line(metrics) for metrics in lines.values()]


def _line(metrics: dict[str, Row]) -> list[str]:
    """Write one line from the rows of its metrics."""
    row = next(iter(metrics.values()))
    forward_only = row.what in ('forward', 'infer')
    what = f'{row.what} {row.variant}' if forward_only else row.what
    line = [row.arch, what, f'{row.drop_path:g}', str(row.with_cp), row.peer]
    time, memory = metrics.get('seconds'), metrics.get('peak_mb')
    if time:
        line += [
            f'{time.ours * 1e3:.1f} ± {time.spread_ours:.0%}',
            f'{time.theirs * 1e3:.1f} ± {time.spread_theirs:.0%}',
            f'{time.ratio:.3f}',
        ]
    else:
        line += ['', '', '']
    if memory:
        base = memory.base_mb or 0
        above = (memory.ours - base) / max(memory.theirs - base, 1e-9)
        line += [f'{memory.ours:.0f}', f'{memory.theirs:.0f}', f'{memory.ratio:.3f}']
        line += [f'{above:.3f}']
    else:
        line += ['', '', '', '']
    shares = (time.gemm_ours, time.gemm_theirs) if time else (None, None)
    return line + ['' if share is None else f'{share:.0%}' for share in shares]
