"""What a detector gets right and wrong: AP per class, confusions, examples."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from pycocotools import mask as rle

from convnext_backbone.registry import METRICS
from convnext_backbone.results import drawing
from convnext_backbone.results.names import common_folder, name_below
from convnext_backbone.results.predictions import encode
from convnext_backbone.tasks.report import pictures
from convnext_backbone.tasks.report.coco_evaluation import (
    Predicted,
    annotations,
    evaluate,
)
from convnext_backbone.tasks.report.findings import (
    MISTAKES,
    Curve,
    Example,
    Extremes,
    Findings,
    Mistake,
    shrink,
    sort_rows,
)

SCORE_THR, IOU_THR = 0.3, 0.5
STATS = {'': 0, '50': 1, '75': 2, ' small': 3, ' medium': 4, ' large': 5}
KINDS = {'segm': 'Mask AP', 'bbox': 'Box AP'}
IOU_CURVES = {0: '0.50', 5: '0.75', 8: '0.90'}


@METRICS.register_module()
class DetectionFindings(BaseMetric):
    """Gathers the findings of a detector, which are then its ``findings``.

    Args:
        ann_file: COCO json of the ground truth; None takes that of the data samples.
        backend_args: Where the file is, as in mmdet's CocoMetric.
    """

    default_prefix = 'report'
    findings: Findings | None = None

    def __init__(
        self, ann_file: str | None = None, backend_args: dict | None = None
    ) -> None:
        super().__init__()
        self.ann_file = ann_file
        self.backend_args = backend_args
        self.truth: list[dict] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, masks as RLE."""
        for sample in data_samples:
            found = sample['pred_instances']
            masks = found.get('masks')
            image_id = sample['img_id'] if self.ann_file else len(self.results) + 1
            self.results.append(
                Predicted(
                    image_id=int(image_id),
                    path=sample['img_path'],
                    shape=tuple(map(int, sample['ori_shape'][:2])),
                    boxes=found['bboxes'].cpu().numpy(),
                    scores=found['scores'].cpu().numpy(),
                    labels=found['labels'].cpu().numpy(),
                    masks=None
                    if masks is None
                    else [encode(np.asarray(mask.cpu())) for mask in masks],
                )
            )
            if self.ann_file is None:
                self.truth += annotations(sample, int(image_id))

    def compute_metrics(self, results: list) -> dict:
        """Set ``findings``; return the metrics."""
        from faster_coco_eval import COCO

        classes = tuple(self.dataset_meta['classes'])
        if self.ann_file is None:
            for number, annotation in enumerate(self.truth, start=1):
                annotation['id'] = number
            content = dict(
                images=[
                    dict(id=entry.image_id, height=entry.shape[0], width=entry.shape[1])
                    for entry in results
                ],
                annotations=self.truth,
                categories=[dict(id=i, name=n) for i, n in enumerate(classes)],
            )
            truth = COCO(content)
        else:
            with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
                truth = COCO(path)
        palette = self.dataset_meta.get('palette')
        self.findings = summarise(results, truth, classes, palette)
        return self.findings.metrics


def summarise(
    images: Sequence[Predicted],
    truth,
    classes: tuple[str, ...],
    palette: list | None = None,
) -> Findings:
    """Make the findings from predictions and a COCO object with the ground truth."""
    by_name = {entry['name']: entry['id'] for entry in truth.cats.values()}
    cat_ids = [by_name[name] for name in classes]
    kinds = [k for k in KINDS if k == 'bbox' or any(i.masks for i in images)]
    evaluations = {kind: evaluate(images, truth, cat_ids, kind) for kind in kinds}
    metrics = {
        f'{KINDS[kind]}{name}': _percent(evaluation.stats[index])
        for kind, evaluation in evaluations.items()
        for name, index in STATS.items()
    }
    # (IoU, recall, class, area, most detections); -1 where a class has no object.
    precision = {}
    order = np.argsort(np.argsort(cat_ids))  # COCO's evaluation sorts the ids
    for kind, evaluation in evaluations.items():
        values = evaluation.eval['precision'][:, :, order, 0, -1].astype(float)
        precision[kind] = np.where(values < 0, np.nan, values)
    main = precision[kinds[0]]
    recall = np.linspace(0, 1, main.shape[1])
    real = {
        image.image_id: [
            ann
            for ann in truth.imgToAnns[image.image_id]
            if not ann.get('iscrowd') and ann['category_id'] in cat_ids
        ]
        for image in images
    }
    number_of = dict.fromkeys(cat_ids, 0)
    for entries in real.values():
        for ann in entries:
            number_of[ann['category_id']] += 1
    rows = [
        (
            name,
            number_of[cat_ids[i]],
            *(_average(main[part, :, i]) for part in (slice(None), 0, 5)),
            *([_average(precision['bbox'][:, :, i])] if len(kinds) > 1 else []),
        )
        for i, name in enumerate(classes)
    ]
    counts, best, worst = compare(images, real, cat_ids)
    box_column = ('Box AP',) if len(kinds) > 1 else ()
    draw = [drawing.default_palette(len(classes)) if palette is None else palette]
    draw += [classes, real, cat_ids, truth]
    draw += [common_folder(image.path for image in images) if images else '']
    return Findings(
        metrics=metrics,
        explanation=f'{KINDS[kinds[0]]}: average precision of '
        f'{"masks" if len(kinds) > 1 else "boxes"}, mean over classes and IoU '
        f'thresholds from 0.50 to 0.95, in percent',
        columns=('Class', 'Objects', KINDS[kinds[0]], 'AP50', 'AP75', *box_column),
        rows=sort_rows(rows, 2),
        matrix=shrink(counts, classes, 'nothing there', 'missed'),
        matrix_note=f'Objects, matched by their boxes: score at least {SCORE_THR}, IoU '
        f'at least {IOU_THR}. Colour: share of the row, in the last row of the column.',
        mistakes=find_mistakes(counts, classes),
        score_name='F1',
        best=[_draw(*pair, *draw) for pair in best],
        worst=[_draw(*pair, *draw) for pair in worst],
        images=len(images),
        class_curves=[
            Curve(name, recall, main[0, :, i])
            for i, name in enumerate(classes)
            if not np.isnan(main[0, :, i]).all()
        ],
        iou_curves=[
            Curve(f'IoU {name}', recall, _mean_over_classes(main[index]))
            for index, name in IOU_CURVES.items()
        ],
    )


def compare(
    images: Sequence[Predicted], real: dict[int, list[dict]], cat_ids: list[int]
) -> tuple[np.ndarray, list, list]:
    """Match predicted boxes with real ones, class by class.

    Args:
        images: The predictions.
        real: The annotations of each image, crowds left out.
        cat_ids: Category of each label.

    Returns:
        Counts (C + 1, C + 1) by true class (rows) and predicted one (columns), the
        last of which is the background; the best and the worst images, each with its
        F1: pairs of it and (image, found, real, predicted).
    """
    import supervision as sv  # takes a second to load

    number = len(cat_ids)
    total = np.zeros((number + 1, number + 1), np.int64)
    extremes = Extremes()
    for image in images:
        boxes = [
            (x, y, x + w, y + h, cat_ids.index(ann['category_id']))
            for ann in real[image.image_id]
            for x, y, w, h in [ann['bbox']]
        ]
        found = np.column_stack([image.boxes, image.labels, image.scores])
        # Their thresholds may or may not count what is equal; ours do.
        found = found[found[:, 5] >= SCORE_THR]
        counts = sv.ConfusionMatrix.from_tensors(
            [found.astype(np.float32)],
            [np.array(boxes, np.float32).reshape(-1, 5)],
            [str(i) for i in cat_ids],
            conf_threshold=0.0,
            iou_threshold=IOU_THR,
        ).matrix.astype(np.int64)
        total += counts
        right = int(np.trace(counts[:number, :number]))
        if boxes:
            score = 2 * right / (len(boxes) + len(found))
            item = (image, right, len(boxes), len(found))
            extremes.add(score, len(boxes), item)
    return total, *extremes.best_and_worst()


def find_mistakes(counts: np.ndarray, classes: Sequence[str]) -> list[Mistake]:
    """Return the most frequent mistakes, the most frequent first."""
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


def _percent(value: float) -> float:
    return 100 * float(value) if value > -1 else float('nan')


def _average(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else float('nan')


def _mean_over_classes(precision: np.ndarray) -> np.ndarray:
    known = precision[:, ~np.isnan(precision).all(axis=0)]
    return known.mean(axis=1) if known.size else np.full(len(precision), np.nan)


def _draw(
    score: float,
    item: tuple,
    palette: list,
    classes: tuple[str, ...],
    real: dict,
    cat_ids: list[int],
    truth,
    folder: str,
) -> Example:
    image, right, number, found = item
    picture = pictures.load(image.path)
    factor = picture.shape[1] / image.shape[1]
    entries = real[image.image_id]
    boxes = np.array([ann['bbox'] for ann in entries], float)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([cat_ids.index(ann['category_id']) for ann in entries])
    sure = np.flatnonzero(image.scores >= SCORE_THR)
    truth_masks = masks = None
    if image.masks is not None:
        if all('segmentation' in ann for ann in entries):
            truth_masks = np.stack([truth.annToMask(ann) for ann in entries])
        if len(sure):
            masks = np.stack([rle.decode(image.masks[i]) for i in sure])
    drawn = []
    for boxes_, labels_, masks_ in (
        (boxes, labels, truth_masks),
        (image.boxes[sure], image.labels[sure], masks),
    ):
        names = [classes[label] for label in labels_] if len(classes) > 1 else []
        side = drawing.paint_instances(
            picture, boxes_ * factor, labels_, palette, names, masks_, thickness=2
        )
        drawn.append(pictures.data_uri(side))
    note = f'{right} of {number} found, {found - right} wrong'
    return Example(name_below(image.path, folder), 100 * score, note, *drawn)
