"""mmdet's COCO metrics, with every number under the class that it belongs to.

mmdet pairs the categories in the order of the file with results in the order of their
ids, so that the table by class swaps rows where both differ, and it writes the values
of boxes and of masks by class under the same names, of which the last remain.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import CocoMetric as MMCocoMetric
from mmengine.evaluator import BaseMetric
from pycocotools import mask as rle

from convnext_backbone.openmmlab.class_order import class_names
from convnext_backbone.openmmlab.coco_labels import category_ids
from convnext_backbone.openmmlab.compat import coco_of
from convnext_backbone.registry import METRICS

try:  # mmdet before the fork has none
    from mmdet.evaluation.metrics import FasterCocoMetric as MMFasterCocoMetric
    from mmdet.evaluation.metrics.faster_coco_metric import convert_gt_samples
except ImportError:
    MMFasterCocoMetric = None

Result = tuple[dict[str, Any], dict[str, Any]]  # of an image: ground truth, predictions


class ClassesByName(BaseMetric):
    """Mixin of mmdet's COCO metrics: classes by name, and values apart by kind.

    The AP of a class is ``bbox_NAME_precision`` or ``segm_NAME_precision``. AP is 0
    where nothing was predicted, and -1 where there is nothing to find.
    """

    metrics: list[str]

    def compute_metrics(self, results: list[Result]) -> dict[str, float]:
        """Compute the metrics of all images."""
        if not any(len(predicted['labels']) for _, predicted in results):
            results = _with_an_empty_prediction(results)
        if coco_of(self) is not None:
            results = self._sort_labels(results)
        values, kinds = {}, self.metrics
        try:
            for kind in kinds:
                self.metrics = [kind]
                for name, value in super().compute_metrics(results).items():
                    key = f'{kind}_{name}' if name.endswith('_precision') else name
                    values[key] = value
        finally:
            self.metrics = kinds
        return values

    def _sort_labels(self, results: list[Result]) -> list[Result]:
        """Number the labels in the order of the category ids, as COCO's results are."""
        coco = coco_of(self)
        ids = category_ids(
            coco.dataset['categories'],
            class_names(self.dataset_meta) or (),
            'the annotation file of the metric',
        )
        self.cat_ids = sorted(ids)
        rank = np.argsort(np.argsort(ids))
        return [
            (truth, {**predicted, 'labels': rank[predicted['labels']]})
            for truth, predicted in results
        ]


def _with_an_empty_prediction(results: list[Result]) -> list[Result]:
    """Add a prediction without extent, which changes no number, to the first image.

    pycocotools refuses to evaluate nothing.
    """
    (truth, predicted), *others = results
    added = {
        'bboxes': np.zeros((1, 4), np.float32),
        'scores': np.zeros(1, np.float32),
        'labels': np.zeros(1, np.int64),
    }
    if 'masks' in predicted:
        empty = np.zeros((truth['height'], truth['width']), np.uint8, order='F')
        added['masks'] = [rle.encode(empty)]
    if 'mask_scores' in predicted:
        added['mask_scores'] = np.zeros(1, np.float32)
    return [(truth, {**predicted, **added}), *others]


@METRICS.register_module()
class CocoMetric(ClassesByName, MMCocoMetric):
    """mmdet's CocoMetric, see :class:`ClassesByName`."""


if MMFasterCocoMetric is not None:

    @METRICS.register_module()
    class FasterCocoMetric(ClassesByName, MMFasterCocoMetric):
        """mmdet's FasterCocoMetric, see :class:`ClassesByName`.

        Without an annotation file, the ignored instances of the data samples are
        crowds, as they are for CocoMetric.
        """

        def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
            """Keep the predictions of a batch, and its ground truth if needed."""
            super().process(data_batch, data_samples)
            if coco_of(self) is not None:
                return
            added = self.results[len(self.results) - len(data_samples) :]
            for (truth, _), sample in zip(added, data_samples, strict=True):
                ignored = sample.get('ignored_instances') or {}
                if 'bboxes' in ignored:
                    truth['anns'] += [
                        {**instance, 'ignore_flag': 1}
                        for instance in convert_gt_samples(ignored)
                    ]
