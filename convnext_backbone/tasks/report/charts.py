"""Charts as SVG inside the page, with the page's colours and fonts."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

SIZE = 380, 246  # pixels
MARKED = 30  # lines of at most so many points show them
# Colours of the page's style sheet. These values are placeholders, which are replaced
# by the names of the style sheet's variables.
COLOURS = {
    'c1': '#0072b2',
    'c2': '#d55e00',
    'c3': '#009e73',
    'c4': '#cc79a7',
    'c5': '#e69f00',
    'c6': '#56b4e9',
    'c7': '#7f4fc9',
    'ink': '#111213',
    'muted': '#616263',
    'line': '#d1d2d3',
    'faint': '#a1a2a3',
}
SERIES = [name for name in COLOURS if name.startswith('c')]
DASHES = [(), (5, 2), (1.5, 1.5)]
STYLE: 'dict[RcKeyType, Any]' = {
    'svg.fonttype': 'none',
    'svg.hashsalt': 'report',
    'text.parse_math': False,
    'font.size': 12,
    'axes.edgecolor': COLOURS['line'],
    'axes.labelcolor': COLOURS['muted'],
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.spines.left': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.unicode_minus': False,
    'grid.color': COLOURS['line'],
    'grid.linewidth': 0.6,
    'xtick.color': COLOURS['line'],
    'ytick.color': COLOURS['line'],
    'xtick.labelcolor': COLOURS['muted'],
    'ytick.labelcolor': COLOURS['muted'],
    'ytick.major.size': 0,
    'lines.linewidth': 1.6,
    'lines.solid_joinstyle': 'round',
    'path.simplify_threshold': 0.3,
}


@dataclass(frozen=True)
class Series:
    """A line of a chart; without a colour it gets the next free one."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    colour: str | None = None
    width: float = 1.6


@dataclass(frozen=True)
class Key:
    """An entry of the legend: its text, and the look of its line."""

    label: str
    colour: str
    dash: str


@dataclass(frozen=True)
class Chart:
    """A chart for the page; the legend is not in the SVG, because HTML can wrap it."""

    title: str
    svg: Markup
    legend: tuple[Key, ...]
    note: str = ''


def line_chart(
    title: str,
    series: Sequence[Series],
    xlabel: str,
    ylabel: str,
    *,
    note: str = '',
    unit_square: bool = False,
    best: tuple[float, float] | None = None,
) -> Chart:
    """Draw a chart of lines.

    Args:
        title: The title, unique in the page.
        series: The lines, drawn in this order. Those of the colour 'faint' are not in
            the legend.
        xlabel: The label of the x axis.
        ylabel: The label of the y axis.
        note: A line of text for the page.
        unit_square: Whether both axes go from 0 to 1. By default they fit the lines.
        best: A point to mark.
    """
    with rc_context(STYLE):
        width, height = SIZE
        figure = Figure((width / 72, height / 72), layout='constrained')
        axes = figure.add_subplot()
        keys = _draw_lines(axes, series)
        if best is not None:
            axes.plot(*best, 'o', markersize=9, mfc='none', mec=COLOURS['ink'], mew=1.2)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        _set_scales(axes, series, unit_square)
        svg = _inline(figure, title)
    return Chart(title, svg, tuple(keys) if len(keys) > 1 else (), note)


def _draw_lines(axes: Axes, series: Sequence[Series]) -> list[Key]:
    """Draw the lines, and return the entries of the legend."""
    keys, free = [], 0
    for line in series:
        colour = line.colour
        dash: tuple[float, ...] = ()
        if colour is None:
            colour = SERIES[free % len(SERIES)]
            dash = DASHES[free // len(SERIES) % len(DASHES)]
            free += 1
        axes.plot(
            line.x,
            line.y,
            color=COLOURS[colour],
            linewidth=line.width,
            linestyle=(0, dash) if dash else '-',
            marker='o' if len(line.x) <= MARKED else None,
            markersize=2.6,
        )
        if colour != 'faint':
            keys.append(Key(line.label, colour, ' '.join(map(str, dash))))
    return keys


def _set_scales(axes: Axes, series: Sequence[Series], unit_square: bool) -> None:
    """Set the limits and the ticks of both axes."""
    axes.tick_params(axis='x', length=3)
    if unit_square:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.margins(x=0.02)
        values = [v for s in series for v in s.y if np.isfinite(v)]
        if values and min(values) >= 0 < max(values):
            axes.set_ylim(0, 1.08 * max(values))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))


def _inline(figure: Figure, title: str) -> Markup:
    """Turn a figure into an SVG element whose ids are unique in the page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
    figure.savefig(buffer, format='svg', transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index('<svg') :]
    prefix = re.sub(r'\W+', '-', title.lower()) + '-'
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    text = text.replace('url(#', f'url(#{prefix}')
    for name, value in COLOURS.items():
        text = text.replace(value, f'var(--{name})')
    box = re.search(r'viewBox="[^"]+"', text)
    assert box is not None, 'matplotlib writes the size of every figure'
    label = Markup.escape(title)
    head = f'<svg class="chart" {box[0]} role="img" aria-label="{label}">'
    return Markup(head + text[text.index('>') + 1 :])
