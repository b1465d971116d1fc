"""Draws the ground truth and the predictions of a detector beside each other."""

import numpy as np
from pycocotools import mask as rle

from convnext_backbone.results import drawing
from convnext_backbone.results.names import name_below
from convnext_backbone.tasks.report import pictures
from convnext_backbone.tasks.report.coco_metric import GroundTruth
from convnext_backbone.tasks.report.detection_matching import SCORE_THR, Match
from convnext_backbone.tasks.report.findings import Example


def draw_example(
    match: Match, truth: GroundTruth, folder: str, palette: list | None = None
) -> Example:
    """Draw the objects of an image, and the predictions that are scored high enough.

    Args:
        match: The image and its predictions.
        truth: The ground truth.
        folder: That the example's name, the path of its image, starts from.
        palette: RGB colours of the classes. None takes the default ones.
    """
    image = match.image
    picture = pictures.load(image.path)
    factor = picture.shape[1] / image.shape[1]
    if palette is None:
        palette = drawing.default_palette(len(truth.classes))
    drawn = []
    for boxes, labels, masks in (_objects(match, truth), _predictions(match)):
        names = [truth.classes[i] for i in labels] if len(truth.classes) > 1 else []
        side = drawing.paint_instances(
            picture, boxes * factor, labels, palette, names, masks, thickness=2
        )
        drawn.append(pictures.data_uri(side))
    note = f'{match.right} of {match.objects} found, {match.predictions - match.right}'
    name = name_below(image.path, folder)
    return Example(name, 100 * match.f1, f'{note} wrong', *drawn)


def _objects(
    match: Match, truth: GroundTruth
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return boxes (N, 4), labels (N,) and masks (N, H, W) of the real objects."""
    entries = truth.objects(match.image.image_id)
    boxes = np.array([entry['bbox'] for entry in entries], float)
    boxes[:, 2:] += boxes[:, :2]
    cat_ids = truth.cat_ids
    labels = np.array([cat_ids.index(entry['category_id']) for entry in entries])
    has_masks = match.image.masks is not None and all(
        'segmentation' in entry for entry in entries
    )
    if not has_masks:
        return boxes, labels, None
    return boxes, labels, np.stack([truth.coco.annToMask(entry) for entry in entries])


def _predictions(match: Match) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return boxes (N, 4), labels (N,) and masks (N, H, W) of the sure predictions."""
    image = match.image
    sure = np.flatnonzero(image.scores >= SCORE_THR)
    masks = None
    if image.masks is not None and len(sure):
        masks = np.stack([rle.decode(image.masks[i]) for i in sure])
    return image.boxes[sure], image.labels[sure], masks
