"""Matches predicted boxes with real ones: the confusion matrix and its mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convnext_backbone.tasks.report.coco_metric import GroundTruth, Predicted
from convnext_backbone.tasks.report.findings import MISTAKES, Extremes, Mistake

SCORE_THR, IOU_THR = 0.3, 0.5


@dataclass(frozen=True)
class Match:
    """The predictions for one image, and how they match its objects."""

    image: Predicted
    right: int  # predictions that match an object of their class
    objects: int
    predictions: int

    @property
    def f1(self) -> float:
        """The F1 score, from 0 to 1."""
        return 2 * self.right / (self.objects + self.predictions)


def match_boxes(
    images: Sequence[Predicted], truth: GroundTruth
) -> tuple[np.ndarray, list[Match], list[Match]]:
    """Match predicted boxes with real ones, class by class.

    Args:
        images: The predictions.
        truth: The ground truth of the same images.

    Returns:
        Counts (C + 1, C + 1) by true class (rows) and predicted class (columns), the
        last of which is the background; the images with the best F1 score, and those
        with the worst. Images without objects are in neither.
    """
    number = len(truth.classes)
    total = np.zeros((number + 1, number + 1), np.int64)
    extremes: Extremes[Match] = Extremes()
    for image in images:
        counts, match = _match(image, truth)
        total += counts
        if match.objects:
            extremes.add(match.f1, match.objects, match)
    best, worst = extremes.best_and_worst()
    return total, [match for _, match in best], [match for _, match in worst]


def _match(image: Predicted, truth: GroundTruth) -> tuple[np.ndarray, Match]:
    """Return the confusion matrix of one image, and its numbers of matches."""
    import supervision as sv  # takes long to import

    cat_ids = truth.cat_ids
    boxes = [
        (x, y, x + w, y + h, cat_ids.index(annotation['category_id']))
        for annotation in truth.objects(image.image_id)
        for x, y, w, h in [annotation['bbox']]
    ]
    found = np.column_stack([image.boxes, image.labels, image.scores])
    # Whether supervision's threshold includes equal scores depends on its release.
    found = found[found[:, 5] >= SCORE_THR]
    counts = sv.ConfusionMatrix.from_tensors(
        [found.astype(np.float32)],
        [np.array(boxes, np.float32).reshape(-1, 5)],
        [str(i) for i in cat_ids],
        conf_threshold=0.0,
        iou_threshold=IOU_THR,
    ).matrix.astype(np.int64)
    right = int(np.trace(counts[:-1, :-1]))
    return counts, Match(image, right, len(boxes), len(found))


def find_mistakes(counts: np.ndarray, classes: Sequence[str]) -> list[Mistake]:
    """Return the most frequent mistakes, the most frequent first.

    Args:
        counts: What :func:`match_boxes` returned.
        classes: Names in label order.
    """
    number = len(classes)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    mistakes = []
    for flat in np.argsort(-wrong, axis=None, kind='stable')[:MISTAKES]:
        i, j = map(int, np.unravel_index(flat, wrong.shape))
        times = int(wrong[i, j])
        if not times:
            continue
        if i == number:
            whole, text = int(counts[:, j].sum()), f'{classes[j]} where there is none'
            unit = 'predictions'
        else:
            whole, unit = int(counts[i].sum()), 'objects'
            text = (
                f'{classes[i]} missed'
                if j == number
                else f'{classes[i]} taken for {classes[j]}'
            )
        detail = f'{times} of {whole} {unit}, {100 * times / whole:.0f} %'
        mistakes.append(Mistake(text, detail, times / int(wrong.max())))
    return mistakes
