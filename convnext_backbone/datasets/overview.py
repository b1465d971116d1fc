"""Draws a data set on one page: class balance, sizes, and annotated samples."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from convnext_backbone.datasets.convert import image_name
from convnext_backbone.datasets.records import Record, Source
from convnext_backbone.datasets.samples import (
    NAME,
    Areas,
    class_areas,
    draw_samples,
    shorten,
)
from convnext_backbone.datasets.statistics import LARGE, SMALL
from convnext_backbone.foundation.errors import os_errors_told
from convnext_backbone.foundation.files import check_writable

COLOURS = {'train': '#3b6ea8', 'val': '#e0892b', 'test': '#7a9a3c', 'all': '#3b6ea8'}
INK = '#444444'
DPI = 120
WIDTH = 16  # inches
ROW = 0.27  # inches, height of a class in the chart
MOST = 40  # classes in the chart at most
COLUMN = 20  # classes in a column of the chart
SAMPLES, COLUMNS = 12, 4

Amounts = dict[str, dict[str, float]]  # split -> class -> how much there is of it


def draw_dataset(
    records: Sequence[Record], source: Source, classes: Sequence[str], path: Path
) -> None:
    """Draw a data set and save the picture as PNG.

    Args:
        records: What was read of it; images that cannot be read are not shown.
        source: Where it was read from.
        classes: The classes to show, in label order.
        path: The file to write.

    Raises:
        UserError: It cannot be written.
    """
    records = [record for record in records if record.width]
    areas = [class_areas(record, source, classes) for record in records]
    amounts = _amounts(records, areas, source.task)
    shown = _most_and_least(amounts, classes)

    aspects = [record.width / record.height for record in records]
    aspect = np.clip(np.median(aspects), 0.6, 2) if aspects else 1
    width, height = WIDTH / COLUMNS - 0.15, WIDTH / COLUMNS / aspect
    cell = round(DPI * width), round(DPI * height)
    samples = draw_samples(records, areas, source, classes, SAMPLES, cell)

    rows = math.ceil(len(samples) / COLUMNS)
    heights = [1.8 + max(3, ROW * min(COLUMN, len(shown)))]
    heights.append(max(0.1, rows * (height + 0.3)))
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    figure = Figure((WIDTH, sum(heights)), dpi=DPI, layout=layout)
    (charts,), (sheet,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    charts.suptitle(
        _headline(records, source, classes),
        x=0.01,
        ha='left',
        fontsize=15,
        parse_math=False,
    )
    _draw_charts(charts, records, areas, source.task, amounts, shown, len(classes))
    for i, (record, picture) in enumerate(samples):
        axes = sheet.add_subplot(rows, COLUMNS, i + 1)
        axes.imshow(picture[..., ::-1])
        name = shorten(image_name(source, record.image), 44)
        title = ': '.join(filter(None, (record.split, name)))
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.set_anchor('N')  # titles of a row at one height
        axes.axis('off')
    check_writable(path)
    with warnings.catch_warnings(), os_errors_told(f'writing {path}'):
        # Letters that the font lacks are drawn as boxes.
        warnings.filterwarnings('ignore', message='Glyph')
        figure.savefig(path, format='png')


def _headline(records: Sequence[Record], source: Source, classes: Sequence[str]) -> str:
    kind = {'det': 'detection', 'seg': 'segmentation'}[source.task]
    words = [f'{source.root.name}: {kind}']
    words.append(f'{len(classes)} class' + ('es' if len(classes) > 1 else ''))
    splits = [record.split or 'all' for record in records]
    words += [f'{splits.count(split)} {split} images' for split in _splits(records)]
    return ', '.join(words).replace(' all images', ' images')


def _splits(records: Sequence[Record]) -> list[str]:
    """Return the splits that there are, 'all' if nothing is divided."""
    found = {record.split or 'all' for record in records} or {'all'}
    return [split for split in COLOURS if split in found]


def _amounts(records: Sequence[Record], areas: Sequence[Areas], task: str) -> Amounts:
    """Count each split's objects, or take its pixels in percent, for each class."""
    amounts: Amounts = {split: {} for split in _splits(records)}
    pixels = dict.fromkeys(amounts, 0)
    for record, found in zip(records, areas, strict=True):
        split = record.split or 'all'
        pixels[split] += record.width * record.height
        for name, values in found.items():
            amount = len(values) if task == 'det' else sum(values)
            amounts[split][name] = amounts[split].get(name, 0) + amount
    if task == 'seg':
        for split, counts in amounts.items():
            amounts[split] = {n: 100 * c / pixels[split] for n, c in counts.items()}
    return amounts


def _most_and_least(amounts: Amounts, classes: Sequence[str]) -> list[str]:
    """Sort classes by what there is of them; of many, leave out the middle."""
    total = {name: sum(a.get(name, 0) for a in amounts.values()) for name in classes}
    names = sorted(classes, key=lambda name: -total[name])
    if len(names) <= MOST:
        return names
    return names[: MOST // 2] + names[-(MOST // 2) :]


def _draw_charts(
    charts: SubFigure,
    records: Sequence[Record],
    areas: Sequence[Areas],
    task: str,
    amounts: Amounts,
    shown: Sequence[str],
    count: int,
) -> None:
    """Draw the classes in one or two columns, and the sizes beside them."""
    columns, titles = [shown], ['']
    if len(shown) > COLUMN:
        half = math.ceil(len(shown) / 2)
        columns = [shown[:half], shown[half:]]
        rest = count - len(shown)
        titles = [f', {half} most frequent', f', {len(shown) - half} least frequent']
        titles[1] += f' ({rest} between are not shown)' if rest else ''
    *panels, last = charts.subplots(1, len(columns) + 1)
    patches = [Patch(color=COLOURS[split], label=split) for split in amounts]
    charts.legend(
        handles=patches, loc='upper right', ncols=3, frameon=False, fontsize=11
    )
    values = [a[name] for a in amounts.values() for name in shown if a.get(name)]
    logarithmic = bool(values) and max(values) > 100 * min(values)
    limits: tuple[float, float] = (0, 1.2 * max(values, default=1))
    if logarithmic:
        limits = min(values) / 2, max(values) * 4
    for ax, names, title in zip(panels, columns, titles, strict=True):
        ax.set_xscale('log' if logarithmic else 'linear')
        ax.set_xlim(limits)
        ax.set_title('classes' + title, fontsize=11)
        unit = 'objects' if task == 'det' else 'share of the pixels, percent'
        ax.set_xlabel(unit + (' (log scale)' if logarithmic else ''))
        _draw_bars(ax, names, amounts)
    sizes: dict[str, list[float]] = {split: [] for split in amounts}
    for record, found in zip(records, areas, strict=True):
        if task == 'det':
            roots = [area**0.5 for values in found.values() for area in values]
            sizes[record.split or 'all'] += roots
        else:
            sizes[record.split or 'all'].append(max(record.width, record.height))
    if task == 'det':
        last.set_title('object sizes', fontsize=11)
        last.set_xlabel('square root of the area of the box, pixels (log scale)')
        _draw_histogram(last, sizes, 'objects', SMALL / 2, LARGE * 2)
        _draw_limits(last, sizes)
    else:
        last.set_title('image sizes', fontsize=11)
        last.set_xlabel('longer side, pixels (log scale)')
        _draw_histogram(last, sizes, 'images')


def _draw_bars(ax: Axes, names: Sequence[str], amounts: Amounts) -> None:
    height = 0.8 / max(1, len(amounts))
    for k, (split, counts) in enumerate(amounts.items()):
        values = [counts.get(name, 0) for name in names]
        places = np.arange(len(names)) + (k - (len(amounts) - 1) / 2) * height
        ax.barh(places, values, height, color=COLOURS[split])
        for place, value in zip(places, values, strict=True):
            ax.annotate(
                f'{value:.3g}' if isinstance(value, float) else f'{value}',
                (max(value, ax.get_xlim()[0]), place),
                (3, 0),
                textcoords='offset points',
                va='center_baseline',
                fontsize=min(8, 72 * ROW * height),
                color=INK,
            )
    labels = [shorten(name, NAME) for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=9, parse_math=False)
    ax.tick_params(axis='y', length=0)
    ax.set_ylim(max(len(names), 3) - 0.4, -0.6)
    _tidy(ax)


def _draw_histogram(
    ax: Axes,
    sizes: dict[str, list[float]],
    what: str,
    low: float = math.inf,
    high: float = 0,
) -> None:
    """Draw which share of a split has which size."""
    every = [value for values in sizes.values() for value in values] or [1]
    low = min(0.8 * max(1, min(every)), low)
    high = max(1.25 * max(every), high)
    bins = np.geomspace(low, high, 25).tolist()
    ax.hist(
        [np.clip(values, low, high) for values in sizes.values()],
        bins,
        weights=[np.full(len(v), 100 / max(1, len(v))) for v in sizes.values()],
        color=[COLOURS[split] for split in sizes],
    )
    ax.set_xscale('log')
    ax.set_xlim(low, high)
    digits = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5)
    ticks = [digit * 10**zeros for zeros in range(6) for digit in digits]
    ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
    ax.set_ylabel(f'share of the {what}, percent')
    ax.set_ylim(0, 1.25 * max(1, ax.get_ylim()[1]))
    _tidy(ax)


def _draw_limits(ax: Axes, sizes: dict[str, list[float]]) -> None:
    """Draw COCO's limits of small, medium and large objects, with their shares."""
    every = np.array([value for values in sizes.values() for value in values])
    low, high = ax.get_xlim()
    edges = (low, SMALL, LARGE, high)
    shares = np.histogram(every, (0, SMALL, LARGE, math.inf))[0] / max(1, len(every))
    for i, name in enumerate(('small', 'medium', 'large')):
        ax.text(
            math.sqrt(edges[i] * edges[i + 1]),
            0.98,
            f'{name}\n{shares[i]:.0%}',
            transform=ax.get_xaxis_transform(),
            ha='center',
            va='top',
            fontsize=9,
            color=INK,
        )
    for limit in (SMALL, LARGE):
        ax.axvline(limit, color=INK, linestyle='--', linewidth=1)


def _tidy(ax: Axes) -> None:
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)
