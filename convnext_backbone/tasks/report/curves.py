"""Chooses the numbers of a training and its evaluation that are drawn as charts."""

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from convnext_backbone.tasks.report.charts import Chart, Series, line_chart
from convnext_backbone.tasks.report.findings import Curve, Findings
from convnext_backbone.tasks.report.history import History, metric_names

MOST_LINES = 7  # in a chart, one for each colour
SIZES = ('_s', '_m', '_l')  # COCO's AP by the size of objects
STEP = 'iteration'


def training_charts(history: History, percent: float) -> list[Chart]:
    """Draw losses, metrics and learning rate.

    Args:
        history: The training.
        percent: The factor that turns a logged metric into percent.
    """
    lines = history.train
    charts = []
    if history.val:
        charts.append(_metric_chart(history, percent))
    if total := _series(lines, ['loss']):
        charts.append(line_chart('Loss', total, STEP, 'loss'))
    parts = _means(lines, (n for n in _names(lines) if 'loss' in n and n != 'loss'))
    if len(parts) > 1:
        shown = sorted(parts, key=lambda name: parts[name], reverse=True)[:MOST_LINES]
        more = len(parts) - len(shown)
        note = f'The {len(shown)} largest of {len(parts)} parts.' if more else ''
        shown_lines = _series(lines, shown)
        charts.append(
            line_chart('Parts of the loss', shown_lines, STEP, 'loss', note=note)
        )
    if rates := _series(lines, ['lr']):
        charts.append(line_chart('Learning rate', rates, STEP, 'learning rate'))
    if norms := _series(lines, ['grad_norm']):
        charts.append(line_chart('Gradient norm', norms, STEP, 'norm'))
    return charts


def timing_charts(history: History) -> list[Chart]:
    """Draw the time and the memory of iterations."""
    lines = history.train
    charts = []
    times = _series(lines, ['time', 'data_time'])
    if times:
        names = {'time': 'iteration', 'data_time': 'of it waiting for data'}
        times = [Series(names[line.label], line.x, line.y) for line in times]
        charts.append(line_chart('Time of an iteration', times, STEP, 'seconds'))
    if memory := _series(lines, ['memory']):
        charts.append(line_chart('GPU memory', memory, STEP, 'MiB'))
    return charts


def precision_charts(findings: Findings) -> list[Chart]:
    """Draw precision by recall, for each class and for some IoU thresholds."""
    if not findings.class_curves:
        return []
    curves = sorted(findings.class_curves, key=lambda c: -c.precision.mean())
    note, named, others = '', curves, []
    if len(curves) > MOST_LINES:
        named, others = curves[:3] + curves[-3:], curves[3:-3]
        note = (
            f'The three best and worst of {len(curves)} classes; the others are grey.'
        )
    faint = [Series(c.label, c.recall, _reached(c), 'faint', 0.7) for c in others]
    lines, by_iou = (
        [
            Series(f'{c.label}: {100 * c.precision.mean():.1f}', c.recall, _reached(c))
            for c in group
        ]
        for group in (named, findings.iou_curves)
    )
    draw = functools.partial(
        line_chart, xlabel='recall', ylabel='precision', unit_square=True
    )
    return [
        draw('By class, IoU 0.50', [*faint, *lines], note=note),
        draw('All classes, by IoU threshold', by_iou),
    ]


def main_metric(history: History) -> str | None:
    """Return the name of the metric that a training is judged by."""
    names = metric_names(history.val)
    for end in ('segm_mAP', 'bbox_mAP', 'mIoU', 'mAP', 'AP'):
        for name in names:
            if name.rpartition('/')[2] == end:
                return name
    return names[0] if names else None


def _metric_chart(history: History, percent: float) -> Chart:
    """Draw the metrics of the evaluations during the training, the main one first."""
    names = [n for n in metric_names(history.val) if not n.endswith(SIZES)]
    means = _means(history.val, names)
    names = [n for n in names if means.get(n, -1) >= 0]
    main = main_metric(history)
    names.sort(key=lambda name: name != main)  # keeps the order of the others
    lines = [
        Series(s.label.rpartition('/')[2], s.x, np.multiply(s.y, percent))
        for s in _series(history.val, names[:MOST_LINES])
    ]
    best = None
    if lines and len(lines[0].x) > 1 and not np.isnan(lines[0].y).all():
        index = int(np.nanargmax(lines[0].y))
        best = lines[0].x[index], lines[0].y[index]
    unit = 'epoch' if history.by_epoch else STEP
    note = f'Ring: the best {lines[0].label}, {best[1]:.1f}.' if best else ''
    return line_chart('Metrics', lines, unit, 'percent', note=note, best=best)


def _reached(curve: Curve) -> np.ndarray:
    """Return the precision up to its first zero, and NaN behind it."""
    zeros = np.flatnonzero(curve.precision == 0)
    precision = curve.precision.copy()
    precision[zeros[1:]] = np.nan
    return precision


def _names(lines: Iterable[dict]) -> list[str]:
    """Return the names of all values in lines of the log."""
    return list(dict.fromkeys(name for line in lines for name in line))


def _means(lines: Sequence[dict], names: Iterable[str]) -> dict[str, float]:
    """Return the means of the values that have a finite one."""
    means = {}
    for name in names:
        values = [line[name] for line in lines if name in line]
        known = [v for v in values if v is not None and math.isfinite(v)]
        if known:
            means[name] = sum(known) / len(known)
    return means


def _series(lines: Sequence[dict], names: Iterable[str]) -> list[Series]:
    """Return a line of the chart for each name that was logged, by step."""
    result = []
    for name in names:
        having = [line for line in lines if line.get(name) is not None]
        if having:
            steps = [line['step'] for line in having]
            result.append(Series(name, steps, [line[name] for line in having]))
    return result
