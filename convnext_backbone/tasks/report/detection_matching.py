"""Matches predicted boxes with real ones: the confusion matrix and its mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle

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
    """Match predicted boxes with real ones, class by class, crowds left out.

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

    boxes = _labelled_boxes(truth, image.image_id, crowds=False)
    crowds = _labelled_boxes(truth, image.image_id, crowds=True)
    found = np.column_stack([image.boxes, image.labels, image.scores])
    # Whether supervision's threshold includes equal scores depends on its release.
    found = found[found[:, 5] >= SCORE_THR]
    found = found[~find_in_crowds(found, boxes, crowds)]
    counts = sv.ConfusionMatrix.from_tensors(
        [found.astype(np.float32)],
        [boxes.astype(np.float32)],
        [str(i) for i in truth.cat_ids],
        conf_threshold=0.0,
        iou_threshold=IOU_THR,
    ).matrix.astype(np.int64)
    right = int(np.trace(counts[:-1, :-1]))
    return counts, Match(image, right, len(boxes), len(found))


def _labelled_boxes(truth: GroundTruth, image_id: int, *, crowds: bool) -> np.ndarray:
    """Return the real objects of an image, or its crowds: (N, 5), boxes and labels."""
    cat_ids = truth.cat_ids
    rows = [
        (x, y, x + w, y + h, cat_ids.index(annotation['category_id']))
        for annotation in truth.objects(image_id, crowds=crowds)
        for x, y, w, h in [annotation['bbox']]
    ]
    return np.array(rows, float).reshape(-1, 5)


def find_in_crowds(
    found: np.ndarray, objects: np.ndarray, crowds: np.ndarray
) -> np.ndarray:
    """Find the predictions that COCO's evaluation does not count, as AP does not.

    Class by class, and the surest first, a prediction takes the object that it covers
    best. One that gets none, and lies in a crowd, is neither right nor wrong.

    Args:
        found: (N, 6), boxes as x1, y1, x2, y2, label, score.
        objects: (M, 5), boxes and labels.
        crowds: (K, 5), boxes and labels.

    Returns:
        Whether each prediction is one of these, (N,) bool.
    """
    ignored = np.zeros(len(found), bool)
    for label in np.unique(crowds[:, 4]):
        mine = np.flatnonzero(found[:, 4] == label)
        mine = mine[np.argsort(-found[mine, 5], kind='stable')]
        ious = _overlaps(found[mine], objects[objects[:, 4] == label], crowd=False)
        shares = _overlaps(found[mine], crowds[crowds[:, 4] == label], crowd=True)
        for row, index in enumerate(mine):
            best = int(ious[row].argmax()) if ious.shape[1] else -1
            if best >= 0 and ious[row, best] >= IOU_THR:
                ious[:, best] = 0  # taken
            else:
                ignored[index] = shares[row].max() >= IOU_THR
    return ignored


def _overlaps(found: np.ndarray, real: np.ndarray, *, crowd: bool) -> np.ndarray:
    """Return IoUs (N, M); with crowds, the share of the prediction that is inside."""
    boxes = []
    for rows in (found, real):
        boxes.append(np.column_stack([rows[:, :2], rows[:, 2:4] - rows[:, :2]]))
    if not len(found) or not len(real):
        return np.zeros((len(found), len(real)))
    return rle.iou(*boxes, [crowd] * len(real))


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
