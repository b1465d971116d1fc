"""Predictions and ground truth of a detector as COCO has them, and its evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convnext_backbone.results.predictions import encode

MAX_DETS = [100, 300, 1000]  # in an image, as mmdet's CocoMetric has them


@dataclass(frozen=True)
class Predicted:
    """What was found in one image: boxes (N, 4) as x1, y1, x2, y2; masks as RLE."""

    image_id: int
    path: str
    shape: tuple[int, int]  # height, width
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: list[dict] | None = None


def annotations(sample: dict, image_id: int) -> list[dict]:
    """Convert the ground truth of a data sample of mmdet to COCO's annotations."""
    result = []
    for key, crowd in (('gt_instances', 0), ('ignored_instances', 1)):
        instances = sample.get(key) or {}
        if 'bboxes' not in instances:
            continue
        boxes = instances['bboxes']
        boxes = getattr(boxes, 'tensor', boxes).cpu().double().numpy()
        masks = instances.get('masks')
        masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks
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


def evaluate(images: Sequence[Predicted], truth, cat_ids: list[int], kind: str):
    """Run COCO's evaluation of one kind, 'bbox' or 'segm', on the images given."""
    from faster_coco_eval import COCOeval_faster

    entries = []
    for image in images:
        for i, (x1, y1, x2, y2) in enumerate(image.boxes.tolist()):
            entry = dict(
                image_id=image.image_id,
                category_id=cat_ids[image.labels[i]],
                score=float(image.scores[i]),
            )
            if kind == 'segm':  # without a box: the area is that of the mask then
                entry['segmentation'] = image.masks[i]
            else:
                entry['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            entries.append(entry)
    evaluation = COCOeval_faster(truth, truth.loadRes(entries), kind)
    evaluation.params.catIds = cat_ids
    evaluation.params.imgIds = [image.image_id for image in images]
    evaluation.params.maxDets = MAX_DETS
    evaluation.run()
    return evaluation
