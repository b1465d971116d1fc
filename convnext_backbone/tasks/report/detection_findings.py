"""The findings about a detector: AP of each class, confusions, examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path

from convnext_backbone.openmmlab.no_predictions import no_predictions
from convnext_backbone.registry import METRICS
from convnext_backbone.results.names import common_folder
from convnext_backbone.results.predictions import encode
from convnext_backbone.tasks.report.coco_metric import (
    GroundTruth,
    Predicted,
    annotations,
    evaluate,
)
from convnext_backbone.tasks.report.detection_examples import draw_example
from convnext_backbone.tasks.report.detection_matching import (
    IOU_THR,
    SCORE_THR,
    find_mistakes,
    match_boxes,
)
from convnext_backbone.tasks.report.findings import Curve, Findings, shrink, sort_rows

if TYPE_CHECKING:  # takes long to import
    from faster_coco_eval import COCO, COCOeval_faster

STATS = {'': 0, '50': 1, '75': 2, ' small': 3, ' medium': 4, ' large': 5}
KINDS = {'segm': 'Mask AP', 'bbox': 'Box AP'}
IOU_CURVES = {0: '0.50', 5: '0.75', 8: '0.90'}


@METRICS.register_module()
class DetectionFindings(BaseMetric):
    """Collects the findings about a detector in its attribute ``findings``.

    Args:
        ann_file: COCO json of the ground truth. None takes the ground truth of the data
            samples.
        backend_args: The storage backend of the file, as in mmdet's CocoMetric.
    """

    default_prefix = 'report'
    findings: Findings | None = None

    def __init__(
        self, ann_file: str | None = None, backend_args: dict | None = None
    ) -> None:
        super().__init__()
        self.ann_file = ann_file
        self.backend_args = backend_args
        self.annotations: list[dict] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, masks as RLE."""
        for sample in data_samples:
            found = sample['pred_instances']
            masks = found.get('masks')
            height, width = sample['ori_shape'][:2]
            image_id = sample['img_id'] if self.ann_file else len(self.results) + 1
            self.results.append(
                Predicted(
                    image_id=int(image_id),
                    path=sample['img_path'],
                    shape=(int(height), int(width)),
                    boxes=found['bboxes'].cpu().numpy(),
                    scores=found['scores'].cpu().numpy(),
                    labels=found['labels'].cpu().numpy(),
                    masks=None
                    if masks is None
                    else [encode(np.asarray(mask.cpu())) for mask in masks],
                )
            )
            if self.ann_file is None:
                self.annotations += annotations(sample, int(image_id))

    def compute_metrics(self, results: list[Predicted]) -> dict[str, float]:
        """Set ``findings`` and return their metrics."""
        from faster_coco_eval import COCO

        classes = tuple(self.dataset_meta['classes'])
        if self.ann_file is None:
            coco = _coco_of(results, self.annotations, classes)
        else:
            with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
                coco = COCO(path)
        palette = self.dataset_meta.get('palette')
        self.findings = summarise(results, GroundTruth(coco, classes), palette)
        return self.findings.metrics


def _coco_of(
    results: Sequence[Predicted], annotations: list[dict], classes: Sequence[str]
) -> 'COCO':
    """Make a COCO object from annotations, which get consecutive ids."""
    from faster_coco_eval import COCO

    return COCO(
        dict(
            images=[
                dict(id=entry.image_id, height=entry.shape[0], width=entry.shape[1])
                for entry in results
            ],
            annotations=[
                dict(annotation, id=number)
                for number, annotation in enumerate(annotations, start=1)
            ],
            categories=[dict(id=i, name=name) for i, name in enumerate(classes)],
        )
    )


def summarise(
    images: Sequence[Predicted], truth: GroundTruth, palette: list | None = None
) -> Findings:
    """Make the findings from predictions and ground truth.

    Args:
        images: The predictions.
        truth: The ground truth of the same images.
        palette: RGB colours of the classes. None takes the default ones.
    """
    kinds = [k for k in KINDS if k == 'bbox' or any(i.masks for i in images)]
    evaluations = {kind: evaluate(images, truth, kind) for kind in kinds}
    precision = {
        kind: precision_table(evaluation, truth)
        for kind, evaluation in evaluations.items()
    }
    main = precision[kinds[0]]
    counts, best, worst = match_boxes(images, truth)
    folder = common_folder(image.path for image in images) if images else ''
    box_column = ('Box AP',) if len(kinds) > 1 else ()
    return Findings(
        metrics=_metrics(evaluations),
        explanation=f'{KINDS[kinds[0]]}: average precision of '
        f'{"masks" if len(kinds) > 1 else "boxes"}, mean over classes and IoU '
        f'thresholds from 0.50 to 0.95, in percent',
        columns=('Class', 'Objects', KINDS[kinds[0]], 'AP50', 'AP75', *box_column),
        rows=sort_rows(_rows(images, truth, precision), 2),
        matrix=shrink(counts, truth.classes, 'nothing there', 'missed'),
        matrix_note=f'Objects, matched by their boxes: score at least {SCORE_THR}, IoU '
        f'at least {IOU_THR}. Colour: share of the row, in the last row of the column.',
        mistakes=find_mistakes(counts, truth.classes),
        score_name='F1',
        best=[draw_example(match, truth, folder, palette) for match in best],
        worst=[draw_example(match, truth, folder, palette) for match in worst],
        images=len(images),
        class_curves=_class_curves(main, truth.classes),
        iou_curves=[
            Curve(f'IoU {name}', _recall(main), _mean_over_classes(main[index]))
            for index, name in IOU_CURVES.items()
        ],
        warnings=[]
        if any(len(image.scores) for image in images)
        else [f'{no_predictions(len(images))}.'],
    )


def precision_table(evaluation: 'COCOeval_faster', truth: GroundTruth) -> np.ndarray:
    """Return the precision by IoU threshold, recall and class, (10, 101, C).

    It is that of objects of all areas and of the largest number of detections. It is
    NaN for a class without any object.
    """
    order = np.argsort(np.argsort(truth.cat_ids))  # COCO's evaluation sorts the ids
    # (IoU, recall, class, area, most detections); -1 for a class without any object.
    values = evaluation.eval['precision'][:, :, order, 0, -1].astype(float)
    return np.where(values < 0, np.nan, values)


def _metrics(evaluations: dict[str, 'COCOeval_faster']) -> dict[str, float]:
    """Return the metrics of all kinds in percent, by their names in the page."""
    return {
        f'{KINDS[kind]}{name}': _percent(evaluation.stats[index])
        for kind, evaluation in evaluations.items()
        for name, index in STATS.items()
    }


def _rows(
    images: Sequence[Predicted], truth: GroundTruth, precision: dict[str, np.ndarray]
) -> list[tuple]:
    """Return the rows of the table of classes, in label order."""
    number_of = dict.fromkeys(truth.cat_ids, 0)
    for image in images:
        for annotation in truth.objects(image.image_id):
            number_of[annotation['category_id']] += 1
    main = next(iter(precision.values()))
    return [
        (
            name,
            number_of[truth.cat_ids[i]],
            *(_average(main[part, :, i]) for part in (slice(None), 0, 5)),
            *([_average(precision['bbox'][:, :, i])] if len(precision) > 1 else []),
        )
        for i, name in enumerate(truth.classes)
    ]


def _class_curves(precision: np.ndarray, classes: Sequence[str]) -> list[Curve]:
    """Return the curve at IoU 0.50 of each class that has objects."""
    return [
        Curve(name, _recall(precision), precision[0, :, i])
        for i, name in enumerate(classes)
        if not np.isnan(precision[0, :, i]).all()
    ]


def _recall(precision: np.ndarray) -> np.ndarray:
    """Return the recall values at which a precision table is given."""
    return np.linspace(0, 1, precision.shape[1])


def _percent(value: float) -> float:
    """Turn a statistic of COCO, -1 where undefined, into percent or NaN."""
    return 100 * float(value) if value > -1 else float('nan')


def _average(values: np.ndarray) -> float:
    """Return the mean in percent of the values that are defined."""
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else float('nan')


def _mean_over_classes(precision: np.ndarray) -> np.ndarray:
    """Average the precision (recall, class) over the classes that have objects."""
    known = precision[:, ~np.isnan(precision).all(axis=0)]
    return known.mean(axis=1) if known.size else np.full(len(precision), np.nan)
