"""Random objects and predictions in COCO's form, and what pycocotools makes of them."""

import contextlib
import copy
import io
from collections.abc import Sequence

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convnext_backbone.results.predictions import encode

SIZE = 100


def mask_of(box: Sequence[int]) -> np.ndarray:
    x, y, width, height = box
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def make_scenes(
    categories: dict[str, int], images: int = 8, seed: int = 0, crowds: bool = True
) -> dict:
    """Make a COCO json of squares.

    Args:
        categories: Ids by name, in the order in which the file lists them.
        images: Number of images.
        seed: Of the places.
        crowds: Whether each image has a crowd too.
    """
    draw = np.random.default_rng(seed)
    annotations = []
    for image_id in range(1, images + 1):
        for number in range(5 + crowds):
            side = int(draw.integers(12, 36))
            box = [*map(int, draw.integers(0, SIZE - side, 2)), side, side]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=int(draw.choice(list(categories.values()))),
                    bbox=box,
                    area=side * side,
                    iscrowd=int(number == 5),
                    segmentation=encode(mask_of(box)),
                )
            )
    return dict(
        images=[
            dict(id=i, height=SIZE, width=SIZE, file_name=f'{i}.png')
            for i in range(1, images + 1)
        ],
        annotations=annotations,
        categories=[dict(id=i, name=name) for name, i in categories.items()],
    )


def predict(content: dict, classes: Sequence[str], seed: int = 1) -> list[dict]:
    """Return data samples of mmdet: objects that are moved, missed or mistaken.

    Later classes are found less well, so that no two have the same AP. Some predictions
    lie in crowds.

    Args:
        content: What :func:`make_scenes` returned.
        classes: Names in label order.
        seed: Of the mistakes.
    """
    draw = np.random.default_rng(seed)
    names = {entry['id']: entry['name'] for entry in content['categories']}
    samples = []
    for image in content['images']:
        boxes, scores, labels, masks = [], [], [], []
        for entry in content['annotations']:
            label = classes.index(names[entry['category_id']])
            badness = label / len(classes)
            if entry['image_id'] != image['id'] or draw.random() < 0.6 * badness:
                continue
            shift = draw.integers(-5, 6, 2) * badness
            x, y, width, height = np.array(entry['bbox'])
            x, y = np.clip((np.array([x, y]) + shift).astype(int), 0, SIZE - width)
            wrong = draw.random() < 0.15
            boxes.append([x, y, x + width, y + height])
            scores.append(draw.random())
            labels.append((label + wrong) % len(classes))
            masks.append(encode(mask_of([x, y, width, height - 1])))
        samples.append(
            dict(
                img_id=image['id'],
                img_path=image['file_name'],
                ori_shape=(SIZE, SIZE),
                pred_instances=dict(
                    bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                    scores=torch.tensor(scores, dtype=torch.float64),
                    labels=torch.tensor(labels, dtype=torch.int64),
                    masks=masks,
                ),
            )
        )
    return samples


def reference_ap(
    content: dict, samples: list[dict], classes: Sequence[str], kind: str
) -> dict[str, float]:
    """Return the AP of each class, which pycocotools evaluates by itself.

    NaN for a class without any object.
    """
    ids = {entry['name']: entry['id'] for entry in content['categories']}
    entries = []
    for sample in samples:
        found = sample['pred_instances']
        for i, label in enumerate(found['labels'].tolist()):
            x1, y1, x2, y2 = found['bboxes'][i].tolist()
            shape = {'bbox': [x1, y1, x2 - x1, y2 - y1]}
            if kind == 'segm':
                shape = {'segmentation': copy.deepcopy(found['masks'][i])}
            entries.append(
                dict(
                    image_id=sample['img_id'],
                    category_id=ids[classes[label]],
                    score=float(found['scores'][i]),
                    **shape,
                )
            )
    result = {}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        for name in classes:
            evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(entries)), kind)
            evaluation.params.catIds = [ids[name]]
            evaluation.params.maxDets = [100, 300, 1000]
            evaluation.evaluate()
            evaluation.accumulate()
            precision = evaluation.eval['precision'][:, :, 0, 0, -1]
            known = precision[precision > -1]
            result[name] = float(known.mean()) if known.size else float('nan')
    return result
