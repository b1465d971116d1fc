"""Draws the ratios as a bar chart, time beside memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convnext_backbone.benchmark.results import SUBJECTS, Row
from convnext_backbone.foundation.errors import UserError, os_errors_told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    'meta': '#0072b2',
    'timm': '#e69f00',
    'torchvision': '#cc79a7',
    'hf': '#56b4e9',
    'mmpretrain': '#009e73',
}
METRICS = {'seconds': 'time', 'peak_mb': 'peak memory'}
NAMES = {
    'forward': 'forward',
    'forward_backward': 'forward + backward',
    'train_step': 'training step of Mask R-CNN',
    'infer': 'inference',
}
INCHES = 0.24  # height of a bar
INK, FAINT = '#222222', '#777777'


def check_chart(path: str | Path) -> None:
    """Check that a chart can be written, before anything is measured.

    Its folder is created.

    Raises:
        UserError: matplotlib does not write files of this suffix, or the folder cannot
            be created.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    # PGF is left out because it needs LaTeX.
    kinds = [k for k in FigureCanvasBase.get_supported_filetypes() if k != 'pgf']
    if Path(path).suffix.lstrip('.') not in kinds:
        raise UserError(
            f'--out {path}: expected a file that ends in one of {", ".join(kinds)}'
        )
    with os_errors_told(f'writing --out {path}'):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def draw_chart(rows: Sequence[Row], path: str | Path, command: str, where: str) -> None:
    """Draw a group of bars for each subject, with a bar for each peer.

    Args:
        rows: The measurements, at least one.
        path: The picture, in an existing folder and a format that matplotlib writes.
        command: The command that measured them.
        where: The machine and the releases.

    Raises:
        UserError: The file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second to load

    metrics = [m for m in METRICS if any(row.metric == m for row in rows)]
    peers = [p for p in COLOURS if any(row.peer == p for row in rows)]
    most = max(_bars(rows, metric) for metric in metrics)
    size = (5.5 * len(metrics) + 1.5, 1.7 + INCHES * most)
    figure = Figure(size, layout='constrained')
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        _draw_panel(axes, [row for row in rows if row.metric == metric], peers)
        axes.set_ylim(most - 1, -1)  # bars are equally thick in both panels
        axes.set_title(f'{METRICS[metric]}: ours / theirs', fontsize=11, color=INK)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc='outside upper center',
        ncols=len(peers),
        frameon=False,
        title='below 1, ours is faster or smaller than',
    )
    figure.supxlabel(f'{command}\n{where}', fontsize=7.5, color=FAINT)
    with os_errors_told(f'writing --out {path}'):
        figure.savefig(path, dpi=150)


def _bars(rows: Sequence[Row], metric: str) -> float:
    """Count the bars of a panel and the gaps between its groups."""
    chosen = [row for row in rows if row.metric == metric]
    return len(chosen) + len({row.subject for row in chosen})


def _draw_panel(
    axes: 'Axes',
    rows: Sequence[Row],
    peers: Sequence[str],
) -> None:
    """Draw the bars of one metric, by architecture and subject, from top to bottom."""
    rows = sorted(rows, key=lambda row: SUBJECTS.index(row.what))
    archs = list(dict.fromkeys(row.arch for row in rows))
    rows.sort(key=lambda row: archs.index(row.arch))
    labels: dict[float, str] = {}
    places: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
    y = 0.0
    for subject in dict.fromkeys(row.subject for row in rows):
        group = [row for row in rows if row.subject == subject]
        labels[y + (len(group) - 1) / 2] = _label(group[0])
        for row in sorted(group, key=lambda row: peers.index(row.peer)):
            places[row.peer].append((y, row.ratio))
            y += 1
        y += 1
    for peer, bars in places.items():
        heights, ratios = zip(*bars, strict=True) if bars else ((), ())
        drawn = axes.barh(heights, ratios, 0.86, color=COLOURS[peer], label=peer)
        texts = axes.bar_label(drawn, fmt='%.2f', padding=3, fontsize=8, color=INK)
        for text in texts:  # keep the numbers legible where the line at 1 crosses them
            text.set_bbox(dict(facecolor='white', edgecolor='none', pad=0.5))
    axes.axvline(1, color=INK, linewidth=1, linestyle='--')
    axes.set_xlim(0, 1.12 * max(1.0, *(row.ratio for row in rows)))
    axes.set_yticks(list(labels), list(labels.values()), fontsize=8)
    axes.tick_params(axis='y', length=0)
    axes.tick_params(axis='x', labelsize=8)
    axes.spines[['top', 'right', 'left']].set_visible(False)


def _label(row: Row) -> str:
    """Write the label of a group of bars."""
    label = f'{row.arch}\n{NAMES[row.what]}'
    if row.what in ('forward', 'infer'):
        label += f', {row.variant}'
    if row.variant == 'train':
        label += f'\ndrop path {row.drop_path:g}'
        label += f', with_cp {row.with_cp}' if row.with_cp else ''
    return label
