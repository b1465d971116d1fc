"""The findings of an evaluation: AP, IoU, confusions, examples."""

import copy
import dataclasses

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO as PlainCOCO
from pycocotools.cocoeval import COCOeval
from support.coco_scenes import make_scenes, predict

from convnext_backbone.results.predictions import encode
from convnext_backbone.tasks.report import findings as found
from convnext_backbone.tasks.report import (
    pictures,
    segmentation_findings,
)
from convnext_backbone.tasks.report.coco_metric import GroundTruth, Predicted
from convnext_backbone.tasks.report.detection_findings import summarise
from convnext_backbone.tasks.report.detection_matching import (
    find_in_crowds,
    match_boxes,
)


def squares(*places: tuple[int, int], side: int = 20) -> np.ndarray:
    return np.array([(x, y, x + side, y + side) for x, y in places], float)


def prediction(image_id: int, boxes, labels, scores, masks=None):
    shape = 100, 100
    labels, scores = np.array(labels, int), np.array(scores, float)
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return Predicted(image_id, 'none.png', shape, boxes, scores, labels, masks)


def annotation(number: int, image_id: int, category: int, box, crowd: int = 0) -> dict:
    x1, y1, x2, y2 = map(int, box)
    mask = np.zeros((100, 100), bool)
    mask[y1:y2, x1:x2] = True
    return dict(
        id=number,
        image_id=image_id,
        category_id=category,
        bbox=[x1, y1, x2 - x1, y2 - y1],
        area=(x2 - x1) * (y2 - y1),
        iscrowd=crowd,
        segmentation=encode(mask),
    )


@pytest.fixture
def scenes(monkeypatch):
    """Two images, three classes of which the third has no object; ids out of order."""
    from faster_coco_eval import COCO

    monkeypatch.setattr(
        pictures,
        'load',
        lambda path: np.zeros((100, 100, 3), np.uint8),
    )
    places = squares((0, 0), (40, 0), (0, 40))
    annotations = [
        annotation(1, 1, 9, places[0]),
        annotation(2, 1, 4, places[1]),
        annotation(3, 2, 4, places[2]),
        annotation(4, 2, 4, (50, 50, 99, 99), crowd=1),
    ]
    names = {'cat': 9, 'dog': 4, 'cow': 6}
    truth = COCO(
        dict(
            images=[dict(id=i, height=100, width=100) for i in (1, 2)],
            annotations=annotations,
            categories=[dict(id=i, name=n) for n, i in names.items()],
        )
    )
    masks = [a['segmentation'] for a in annotations]
    images = [
        # a cat found, a dog taken for a cat, one too unsure to count
        prediction(1, [*places[:2], places[2]], [0, 0, 1], [0.9, 0.3, 0.29],
                   [masks[0], masks[1], masks[2]]),
        # a dog found, a cow where there is none
        prediction(2, [places[2], (70, 0, 90, 20)], [1, 2], [0.8, 0.6],
                   [masks[2], encode(np.eye(100, dtype=bool))]),
    ]  # fmt: skip
    return images, GroundTruth(truth, tuple(names))


def test_ap_of_every_class_is_that_of_pycocotools(scenes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images, truth = scenes
    result = summarise(images, truth)
    plain = COCO()
    plain.dataset = truth.coco.dataset
    plain.createIndex()
    for column, kind in ((2, 'segm'), (5, 'bbox')):
        entries = [
            dict(
                image_id=image.image_id,
                category_id=[9, 4, 6][label],
                score=float(score),
                segmentation=mask,
                **({} if kind == 'segm' else dict(bbox=[x1, y1, x2 - x1, y2 - y1])),
            )
            for image in images
            for (x1, y1, x2, y2), label, score, mask in zip(
                image.boxes.tolist(),
                image.labels,
                image.scores,
                image.masks,
                strict=True,
            )
        ]
        for name, category in zip(truth.classes, (9, 4, 6), strict=True):
            evaluation = COCOeval(plain, plain.loadRes(copy.deepcopy(entries)), kind)
            evaluation.params.catIds = [category]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            (row,) = [row for row in result.rows if row[0] == name]
            ap = 100 * evaluation.stats[0]
            if name == 'cow':
                assert ap == -100
                assert np.isnan(row[column])
            else:
                assert row[column] == pytest.approx(ap)
    mean = np.nanmean([row[2] for row in result.rows])
    assert result.metrics['Mask AP'] == pytest.approx(mean)
    assert [row[0] for row in result.rows][-1] == 'cow'
    assert [row[1] for row in sorted(result.rows)] == [1, 0, 2]
    assert [curve.label for curve in result.class_curves] == ['cat', 'dog']


def test_detections_are_matched_and_mistakes_counted(scenes):
    images, truth = scenes
    result = summarise(images, truth)
    assert result.warnings == []
    expected = [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 0],
    ]
    assert result.matrix.counts.tolist() == expected
    assert result.matrix.shares[1].tolist() == [0.5, 0.5, 0, 0]
    assert result.matrix.shares[3, 2] == 1
    told = {mistake.text: mistake.detail for mistake in result.mistakes}
    assert told == {
        'dog taken for cat': '1 of 2 objects, 50 %',
        'cow where there is none': '1 of 1 predictions, 100 %',
    }
    (best,), (worst,) = result.best, result.worst
    assert best.note == '1 of 1 found, 1 wrong'
    assert best.score == pytest.approx(200 / 3)
    assert worst.note == '1 of 2 found, 1 wrong'
    assert worst.score == pytest.approx(50)


@pytest.mark.parametrize(
    ('found', 'objects', 'ignored'),
    [
        # inside of the crowd of dogs; a dog elsewhere; a cat in the crowd
        ([(50, 50, 60, 60, 1, 0.9), (80, 80, 95, 95, 1, 0.8)], [], [True, True]),
        ([(0, 0, 20, 20, 1, 0.9), (60, 60, 80, 80, 0, 0.8)], [], [False, False]),
        # half inside; less than half
        ([(40, 60, 60, 80, 1, 0.9), (30, 60, 60, 80, 1, 0.9)], [], [True, False]),
        # of two for the dog in front of the crowd, the surer one takes it
        (
            [(50, 50, 70, 70, 1, 0.4), (50, 50, 70, 69, 1, 0.6)],
            [(50, 50, 70, 70, 1)],
            [True, False],
        ),
    ],
)
def test_predictions_in_crowds_are_left_out(found, objects, ignored):
    crowds = np.array([(50, 50, 99, 99, 1)], float)
    objects = np.array(objects, float).reshape(-1, 5)
    result = find_in_crowds(np.array(found, float), objects, crowds)
    assert result.tolist() == ignored


def test_a_report_does_not_count_crowds_against_a_model(scenes):
    images, truth = scenes
    inside = [(52, 52, 70, 70), (75, 60, 95, 80)]
    boxes = np.concatenate([images[1].boxes, inside])
    masks = [*images[1].masks, *[encode(np.eye(100, dtype=bool))] * 2]
    more = prediction(2, boxes, [1, 2, 1, 0], [0.8, 0.6, 0.9, 0.9], masks)
    result = summarise([images[0], more], truth)
    # The dog in the crowd of dogs is no mistake, the cat in it is one.
    assert result.matrix.counts[3].tolist() == [1, 0, 1, 0]
    notes = {example.note for example in result.best + result.worst}
    assert '1 of 1 found, 2 wrong' in notes


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_no_true_positive_is_taken_for_a_prediction_in_a_crowd(seed):
    """Of one class, what is left over is what COCO counts as false."""
    from faster_coco_eval import COCO

    content = make_scenes({'a': 5}, images=12, seed=seed)
    samples = predict(content, ('a',), seed)
    images = []
    for sample in samples:
        found = sample['pred_instances']
        count = len(found['labels'])
        boxes = found['bboxes'].numpy()
        images.append(prediction(sample['img_id'], boxes, [0] * count, [0.9] * count))
    truth = GroundTruth(COCO(content), ('a',))
    counts, _, _ = match_boxes(images, truth)
    plain = PlainCOCO()
    plain.dataset = copy.deepcopy(content)
    plain.createIndex()
    entries = [
        dict(image_id=i.image_id, category_id=5, score=0.9, bbox=[x, y, u - x, v - y])
        for i in images
        for x, y, u, v in i.boxes.tolist()
    ]
    evaluation = COCOeval(plain, plain.loadRes(entries), 'bbox')
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    false = sum(
        int(((e['dtMatches'][0] == 0) & ~e['dtIgnore'][0]).sum())
        for e in evaluation.evalImgs
        if e is not None and e['aRng'] == evaluation.params.areaRng[0]
    )
    assert counts[1, 0] == false
    assert (counts[0].sum(), evaluation.params.catIds) == (12 * 5, [5])


def test_images_without_predictions_or_objects_are_counted(scenes):
    _, truth = scenes
    images = [prediction(1, [], [], []), prediction(2, [], [], [])]
    result = summarise(images, truth)
    assert result.matrix.counts[:3, 3].tolist() == [1, 2, 0]
    assert result.metrics['Box AP'] == 0
    (warning,) = result.warnings
    assert warning.startswith('No predictions: the model found nothing in any of the 2')
    assert [example.score for example in result.best + result.worst] == [0, 0]
    truth.coco.imgToAnns[1] = []
    _, best, worst = match_boxes(images, truth)
    assert len(best + worst) == 1


def test_pixels_are_counted_as_mmseg_does():
    from mmseg.evaluation import IoUMetric

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, (20, 30))
    labels = np.where(generator.random((20, 30)) < 0.6, truth, 1)
    truth[:4] = 255
    counts = segmentation_findings.confusion(truth, labels, 4)
    areas = IoUMetric.intersect_and_union(
        torch.from_numpy(labels), torch.from_numpy(truth), 4, 255
    )
    theirs = IoUMetric.total_area_to_metrics(*areas)
    iou, accuracy = segmentation_findings.iou_and_accuracy(counts)
    np.testing.assert_allclose(iou, theirs['IoU'], rtol=1e-6)
    np.testing.assert_allclose(accuracy, theirs['Acc'], rtol=1e-6)
    assert np.isnan(iou[3])
    result = segmentation_findings.summarise(counts, ('a', 'b', 'c', 'd'), 1, [], [])
    assert result.metrics['mIoU'] == pytest.approx(100 * np.nanmean(theirs['IoU']))
    assert result.rows[-1][0] == 'd'
    assert result.matrix.shares[0].sum() == pytest.approx(1)
    assert {m.text for m in result.mistakes} == {'a taken for b', 'c taken for b'}


def test_without_an_image_no_metric_of_a_segmentor_is_defined():
    metric = segmentation_findings.SegmentationFindings()
    metric.dataset_meta = {'classes': ('a', 'b')}
    metrics = metric.compute_metrics([])
    assert metric.findings.images == 0
    assert np.isnan([metrics['mIoU'], metrics['Mean accuracy']]).all()


def test_the_best_and_worst_are_kept_in_order():
    extremes = found.Extremes(2)
    scores = [0.5, 1.0, 0.0, 1.0, 0.2, 0.0, 0.9]
    for number, score in enumerate(scores):
        extremes.add(score, weight=number, item=number)
        assert len(extremes.kept) <= 4
    assert extremes.best_and_worst() == ([(1.0, 3), (1.0, 1)], [(0.0, 5), (0.0, 2)])


def test_few_images_are_shown_once():
    extremes = found.Extremes(4)
    for number, score in enumerate((0.1, 0.5, 0.9)):
        extremes.add(score, 1, number)
    best, worst = extremes.best_and_worst()
    assert [item for _, item in best] == [2, 1]
    assert [item for _, item in worst] == [0]


def test_a_large_matrix_keeps_the_classes_with_most_mistakes():
    counts = np.eye(40, dtype=int) * 100
    counts[3, 7], counts[39, 0] = 5, 4
    names = tuple(f'c{i}' for i in range(40))
    matrix = found.shrink(counts, names)
    assert matrix.counts.shape == (30, 30)
    assert matrix.omitted == 10
    assert {'c0', 'c3', 'c7', 'c39'} <= set(matrix.rows)
    row, column = matrix.rows.index('c3'), matrix.columns.index('c7')
    assert matrix.counts[row, column] == 5
    assert matrix.shares[row, column] == pytest.approx(5 / 105)


def test_examples_of_one_name_are_told_apart(scenes):
    images, truth = scenes
    for folder in ('/data/cam{}', '/data/cam{}/day'):
        placed = [
            dataclasses.replace(image, path=f'{folder.format(i)}/7.png')
            for i, image in enumerate(images)
        ]
        result = summarise(placed, truth)
        names = {example.name for example in (*result.best, *result.worst)}
        assert names == {f'{folder.format(i)}/7.png'[len('/data/') :] for i in (0, 1)}


def test_examples_of_segments_of_one_name_are_told_apart(tmp_path):
    metric = segmentation_findings.SegmentationFindings()
    metric.dataset_meta = dict(classes=('a', 'b'))
    for i in range(4):
        path = tmp_path / f'cam{i}' / '7.png'
        path.parent.mkdir()
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
        labels = torch.zeros(1, 8, 8, dtype=torch.int64)
        labels[0, : i + 1] = 1
        sample = dict(
            img_path=str(path),
            gt_sem_seg=dict(data=labels),
            pred_sem_seg=dict(data=torch.zeros_like(labels)),
        )
        metric.process({}, [sample])
    metric.compute_metrics(metric.results)
    assert metric.findings.images == 4
    shown = (*metric.findings.best, *metric.findings.worst)
    assert {example.name for example in shown} == {f'cam{i}/7.png' for i in range(4)}
