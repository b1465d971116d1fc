"""Draws the ratios as bars, time beside memory."""

from collections.abc import Sequence
from pathlib import Path

from convnext_backbone.benchmark.results import SUBJECTS, Row
from convnext_backbone.foundation.errors import UserError

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
INCHES = 0.24  # of height for each bar
INK, FAINT = '#222222', '#777777'


def check_chart(path: str | Path) -> None:
    """Raise UserError unless matplotlib writes files of that name."""
    from matplotlib.backend_bases import FigureCanvasBase

    # PGF needs LaTeX.
    kinds = [k for k in FigureCanvasBase.get_supported_filetypes() if k != 'pgf']
    if Path(path).suffix.lstrip('.') not in kinds:
        raise UserError(
            f'--out {path}: expected a file that ends in one of {", ".join(kinds)}'
        )


def draw_chart(rows: Sequence[Row], path: str | Path, command: str, where: str) -> None:
    """Draw a group of bars for each thing measured, a bar for each peer.

    Args:
        rows: What was measured, at least one row.
        path: The picture, in a format that matplotlib writes, as .png.
        command: What was run.
        where: The machine and the releases.
    """
    from matplotlib.figure import Figure  # takes a second to load

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metrics = [m for m in METRICS if any(row.metric == m for row in rows)]
    peers = [p for p in COLOURS if any(row.peer == p for row in rows)]
    most = max(_bars(rows, metric) for metric in metrics)
    size = (5.5 * len(metrics) + 1.5, 1.7 + INCHES * most)
    figure = Figure(size, layout='constrained')
    for axes, metric in zip(
        figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
    ):
        _draw_panel(axes, [row for row in rows if row.metric == metric], peers)
        axes.set_ylim(most - 1, -1)  # bars of one thickness in both panels
        axes.set_title(f'{METRICS[metric]}: ours / theirs', fontsize=11, color=INK)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc='outside upper center',
        ncols=len(peers),
        frameon=False,
        title='below 1, ours is faster or smaller than',
    )
    figure.supxlabel(f'{command}\n{where}', fontsize=7.5, color=FAINT)
    figure.savefig(path, dpi=150)


def _bars(rows: Sequence[Row], metric: str) -> float:
    """Count the bars of a panel, and the gaps between its groups as one each."""
    chosen = [row for row in rows if row.metric == metric]
    return len(chosen) + len({row.subject for row in chosen})


def _draw_panel(axes, rows: Sequence[Row], peers: Sequence[str]) -> None:
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
        for text in texts:  # legible across the line
            text.set_bbox(dict(facecolor='white', edgecolor='none', pad=0.5))
    axes.axvline(1, color=INK, linewidth=1, linestyle='--')
    axes.set_xlim(0, 1.12 * max(1.0, *(row.ratio for row in rows)))
    axes.set_yticks(list(labels), list(labels.values()), fontsize=8)
    axes.tick_params(axis='y', length=0)
    axes.tick_params(axis='x', labelsize=8)
    axes.spines[['top', 'right', 'left']].set_visible(False)


def _label(row: Row) -> str:
    label = f'{row.arch}\n{NAMES[row.what]}'
    if row.what in ('forward', 'infer'):
        label += f', {row.variant}'
    if row.variant == 'train':
        label += f'\ndrop path {row.drop_path:g}'
        label += f', with_cp {row.with_cp}' if row.with_cp else ''
    return label
