"""Predictions and ground truth of a detector in COCO's format, and COCO's metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convnext_backbone.results.predictions import encode

if TYPE_CHECKING:  # takes long to import
    from faster_coco_eval import COCO, COCOeval_faster

MAX_DETS = [100, 300, 1000]  # detections in an image, as in mmdet's CocoMetric


@dataclass(frozen=True)
class Predicted:
    """The predictions for one image, in its original pixels."""

    image_id: int
    path: str
    shape: tuple[int, int]  # height, width
    boxes: np.ndarray  # (N, 4) as x1, y1, x2, y2
    scores: np.ndarray  # (N,)
    labels: np.ndarray  # (N,)
    masks: list[dict] | None = None  # RLE; None if the detector predicts none


@dataclass(frozen=True)
class GroundTruth:
    """The ground truth of a data set, and the order of its classes.

    Attributes:
        coco: The annotations.
        classes: Names in label order.
    """

    coco: 'COCO'
    classes: tuple[str, ...]

    @property
    def cat_ids(self) -> list[int]:
        """COCO's category id of each label."""
        by_name = {entry['name']: entry['id'] for entry in self.coco.cats.values()}
        return [by_name[name] for name in self.classes]

    def objects(self, image_id: int, *, crowds: bool = False) -> list[dict]:
        """Return the annotations of an image that are of one of the classes.

        Args:
            image_id: The image.
            crowds: Whether to return those of crowds, in place of single objects.
        """
        cat_ids = set(self.cat_ids)
        return [
            annotation
            for annotation in self.coco.imgToAnns[image_id]
            if bool(annotation.get('iscrowd')) == crowds
            and annotation['category_id'] in cat_ids
        ]


def annotations(sample: dict, image_id: int) -> list[dict]:
    """Convert the ground truth of an mmdet data sample to COCO annotations.

    Ignored instances become crowds.
    """
    result = []
    for key, crowd in (('gt_instances', 0), ('ignored_instances', 1)):
        instances = sample.get(key) or {}
        if 'bboxes' not in instances:
            continue
        boxes = instances['bboxes']
        boxes = getattr(boxes, 'tensor', boxes).cpu().double().numpy()
        masks = instances.get('masks')
        if masks is not None and hasattr(masks, 'to_ndarray'):
            masks = masks.to_ndarray()
        for i, label in enumerate(instances['labels'].tolist()):
            x1, y1, x2, y2 = boxes[i].tolist()
            annotation = dict(
                image_id=image_id,
                category_id=label,
                bbox=[x1, y1, x2 - x1, y2 - y1],
                area=(x2 - x1) * (y2 - y1),
                iscrowd=crowd,
            )
            if masks is not None:
                annotation['segmentation'] = encode(np.asarray(masks[i]))
                annotation['area'] = float(np.asarray(masks[i]).sum())
            result.append(annotation)
    return result


def evaluate(
    images: Sequence[Predicted], truth: GroundTruth, kind: str
) -> 'COCOeval_faster':
    """Run COCO's evaluation on the given images.

    Args:
        images: The predictions.
        truth: The ground truth of the same images.
        kind: 'bbox' or 'segm'.
    """
    from faster_coco_eval import COCOeval_faster

    cat_ids = truth.cat_ids
    entries = []
    for image in images:
        for i, (x1, y1, x2, y2) in enumerate(image.boxes.tolist()):
            entry = dict(
                image_id=image.image_id,
                category_id=cat_ids[image.labels[i]],
                score=float(image.scores[i]),
            )
            if kind == 'segm':  # without a box, COCO takes the area of the mask
                assert image.masks is not None, 'masks are evaluated if there are any'
                entry['segmentation'] = image.masks[i]
            else:
                entry['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            entries.append(entry)
    evaluation = COCOeval_faster(truth.coco, truth.coco.loadRes(entries), kind)
    evaluation.params.catIds = cat_ids
    evaluation.params.imgIds = [image.image_id for image in images]
    evaluation.params.maxDets = MAX_DETS
    evaluation.run()
    return evaluation
