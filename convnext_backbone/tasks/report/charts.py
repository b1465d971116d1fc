"""Charts as SVG that lies in the page and takes its colours and fonts from it."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

SIZE = 380, 246  # pixels of the page at which the text has its full size
MARKED = 30  # a line with no more points shows them
# Colours that the page's style sheet defines; the values only stand in for them.
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
STYLE = {
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
    """A line; without a colour it gets the next one."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str | None = None
    width: float = 1.6


@dataclass(frozen=True)
class Key:
    """A line of the legend: what it says, and how its line looks."""

    label: str
    colour: str
    dash: str


@dataclass(frozen=True)
class Chart:
    """What the page shows of a chart; the legend is HTML, which wraps."""

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
    """Draw lines.

    Args:
        title: Of the chart; unique in the page.
        series: The lines, drawn in this order. Those of the colour 'faint' are not in
            the legend.
        xlabel: Below the x axis.
        ylabel: Beside the y axis.
        note: A line of text for the page.
        unit_square: Whether both axes go from 0 to 1, not to what there is.
        best: A point to mark.
    """
    keys, free = [], 0
    with rc_context(STYLE):
        figure = Figure([side / 72 for side in SIZE], layout='constrained')
        axes = figure.add_subplot()
        for line in series:
            colour, dash = line.colour, ()
            if colour is None:
                colour = SERIES[free % len(SERIES)]
                dash = DASHES[free // len(SERIES) % len(DASHES)]
                free += 1
            marked = len(line.x) <= MARKED
            axes.plot(
                line.x,
                line.y,
                color=COLOURS[colour],
                linewidth=line.width,
                linestyle=(0, dash) if dash else '-',
                marker='o' if marked else None,
                markersize=2.6,
            )
            if colour != 'faint':
                keys.append(Key(line.label, colour, ' '.join(map(str, dash))))
        if best is not None:
            axes.plot(*best, 'o', markersize=9, mfc='none', mec=COLOURS['ink'], mew=1.2)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
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
        plain: Callable = FuncFormatter(lambda value, _: f'{value:g}')
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(plain)
        svg = _inline(figure, title)
    return Chart(title, svg, tuple(keys) if len(keys) > 1 else (), note)


def _inline(figure: Figure, title: str) -> Markup:
    """Turn a figure into an SVG element that does not collide with others."""
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
    box = re.search(r'viewBox="[^"]+"', text)[0]
    label = Markup.escape(title)
    head = f'<svg class="chart" {box} role="img" aria-label="{label}">'
    return Markup(head + text[text.index('>') + 1 :])
