"""The findings about a segmentor: IoU of each class, confused pixels, examples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from convnext_backbone.registry import METRICS
from convnext_backbone.results import drawing
from convnext_backbone.results.names import common_folder, name_below
from convnext_backbone.tasks.report import pictures
from convnext_backbone.tasks.report.findings import (
    MISTAKES,
    Example,
    Extremes,
    Findings,
    Mistake,
    shrink,
    sort_rows,
)


class Labelled(NamedTuple):
    """An image with its label maps, and their confusion matrix."""

    path: str
    truth: np.ndarray  # (H, W)
    labels: np.ndarray  # (H, W)
    counts: np.ndarray  # (C, C), pixels by true and predicted label


@METRICS.register_module()
class SegmentationFindings(BaseMetric):
    """Collects the findings about a segmentor in its attribute ``findings``.

    Args:
        ignore_index: Label of pixels that are not evaluated.
    """

    default_prefix = 'report'
    findings: Findings | None = None

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.counts: np.ndarray | None = None  # of all pixels, (C, C)
        self.extremes: Extremes[Labelled] = Extremes()

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch; keep the label maps of the best and worst."""
        number = len(self.dataset_meta['classes'])
        for sample in data_samples:
            truth, labels = (
                np.asarray(sample[key]['data'].cpu())[0].astype(np.int16)
                for key in ('gt_sem_seg', 'pred_sem_seg')
            )
            counts = confusion(truth, labels, number, self.ignore_index)
            self.counts = counts if self.counts is None else self.counts + counts
            present = counts.sum(1) > 0
            self.results.append(sample['img_path'])
            if present.any():
                item = Labelled(sample['img_path'], truth, labels, counts)
                score = float(iou_and_accuracy(counts)[0][present].mean())
                self.extremes.add(score, int(present.sum()), item)

    def compute_metrics(self, results: list) -> dict:
        """Set ``findings`` and return their metrics."""
        classes = tuple(self.dataset_meta['classes'])
        palette = self.dataset_meta.get('palette')
        folder = common_folder(results) if results else ''
        best, worst = self.extremes.best_and_worst()
        counts = self.counts
        if counts is None:  # there was no image
            counts = np.zeros((len(classes), len(classes)), np.int64)
        self.findings = summarise(
            counts,
            classes,
            len(results),
            [_draw(score, item, classes, palette, folder) for score, item in best],
            [_draw(score, item, classes, palette, folder) for score, item in worst],
        )
        return self.findings.metrics


def confusion(
    truth: np.ndarray, labels: np.ndarray, classes: int, ignore_index: int = 255
) -> np.ndarray:
    """Count pixels by true label (rows) and predicted label (columns)."""
    counted = (truth != ignore_index) & (truth >= 0) & (truth < classes)
    pairs = truth[counted].astype(np.int64) * classes + labels[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def iou_and_accuracy(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both for each class, from 0 to 1; NaN for a class that does not occur."""
    right, truth = np.diag(counts).astype(float), counts.sum(1)
    union = truth + counts.sum(0) - right
    with np.errstate(invalid='ignore', divide='ignore'):
        return right / union, right / truth


def summarise(
    counts: np.ndarray,
    classes: tuple[str, ...],
    images: int,
    best: list[Example],
    worst: list[Example],
) -> Findings:
    """Make the findings from the confusion matrix of all pixels."""
    iou, accuracy = iou_and_accuracy(counts)
    share = counts.sum(1) / max(1, counts.sum())
    rows = [
        (name, *(float(100 * values[i]) for values in (share, iou, accuracy)))
        for i, name in enumerate(classes)
    ]
    total = max(1, int(counts.sum()))
    return Findings(
        metrics={
            'mIoU': _mean(iou),
            'Mean accuracy': _mean(accuracy),
            'Pixel accuracy': 100 * float(np.trace(counts)) / total,
        },
        explanation='mean over classes of intersection over union, in percent',
        columns=('Class', 'Share of pixels', 'IoU', 'Accuracy'),
        rows=sort_rows(rows, 2),
        matrix=shrink(counts, classes),
        matrix_note='Percent of the pixels of each true class.',
        mistakes=find_mistakes(counts, classes),
        score_name='mIoU',
        best=best,
        worst=worst,
        images=images,
    )


def find_mistakes(counts: np.ndarray, classes: Sequence[str]) -> list[Mistake]:
    """Return the confusions of the most pixels, the worst first."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    mistakes = []
    for flat in np.argsort(-wrong, axis=None, kind='stable')[:MISTAKES]:
        i, j = np.unravel_index(flat, wrong.shape)
        if wrong[i, j]:
            text = f'{classes[i]} taken for {classes[j]}'
            of_all, of_class = (
                100 * wrong[i, j] / whole for whole in (counts.sum(), counts[i].sum())
            )
            detail = f'{of_all:.1f} % of all pixels, {of_class:.1f} % of the class'
            mistakes.append(Mistake(text, detail, float(wrong[i, j] / wrong.max())))
    return mistakes


def _mean(values: np.ndarray) -> float:
    """Return the mean in percent of the values that are defined."""
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else float('nan')


def _draw(
    score: float,
    item: Labelled,
    classes: tuple[str, ...],
    palette: list | None,
    folder: str,
) -> Example:
    """Draw the ground truth and the prediction of an image with its mean IoU."""
    path, truth, labels, counts = item
    image = pictures.load(path)
    colours = palette or drawing.default_palette(len(classes))
    drawn = [
        pictures.data_uri(drawing.draw_labels(image, part, classes, colours))
        for part in (truth, labels)
    ]
    iou, _ = iou_and_accuracy(counts)
    iou[counts.sum(1) == 0] = np.nan  # classes that are not in the image
    lowest = int(np.nanargmin(iou))
    note = f'lowest: {classes[lowest]} {100 * iou[lowest]:.1f}'
    return Example(name_below(path, folder), 100 * score, note, *drawn)
