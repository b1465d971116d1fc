"""The report of a training: what it reads, counts, chooses and writes."""

import copy
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from support.commands import DET, SEG, tool
from support.work_dirs import RECORD, TIMES, make_work_dir, train_line, write_run

from convnext_backbone import checkpoints
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.openmmlab.runner import TestRunner
from convnext_backbone.results.predictions import encode
from convnext_backbone.tasks.report import (
    charts,
    curves,
    detection,
    facts,
    page,
    segmentation,
    write_report,
)
from convnext_backbone.tasks.report import findings as found
from convnext_backbone.tasks.report.history import read_history


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('demo') / 'data'
    make_demo_data(root, train=3, val=3, size=128)
    return root


def managers() -> list[dict]:
    kinds = (MMLogger, MessageHub, DefaultScope, Visualizer)
    return [dict(kind._instance_dict) for kind in kinds]


class Page(HTMLParser):
    """Collects the sections, the ids, the addresses and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections, self.ids, self.addresses, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attrs = dict(attrs)
        if 'id' in attrs:
            self.ids.append(attrs['id'])
        if tag == 'section':
            self.sections.append(attrs['id'])
        self.addresses += [attrs[n] for n in ('src', 'href') if n in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.mark.parametrize(('config', 'metric'), [(DET, 'Mask AP'), (SEG, 'mIoU')])
def test_the_page_holds_all_and_nothing_else_changes(tmp_path, demo, config, metric):
    work_dir = make_work_dir(tmp_path / 'run', demo, config)
    before, files = managers(), sorted(work_dir.rglob('*'))
    path = write_report(work_dir)
    assert path == work_dir / 'report.html'
    assert managers() == before
    assert sorted(work_dir.rglob('*')) == sorted([*files, path])
    text = path.read_text(encoding='utf-8')
    read = Page(text)
    sections = ['summary', 'training', 'classes', 'confusion', 'examples', 'timing']
    sections += ['setup', 'environment', 'commands']
    assert [s for s in read.sections if s != 'precision'] == sections
    assert ('precision' in read.sections) == (config == DET)
    assert len(read.ids) == len(set(read.ids))
    assert all(a.startswith(('data:', '#')) for a in read.addresses)
    assert sum(a.startswith('data:image/jpeg') for a in read.addresses) == 6
    words = ' '.join(read.words)
    assert metric in words
    assert 'best_of_all_iter_3.pth' in ''.join(read.words)
    assert '3 images to train on, 3 to evaluate' in words
    assert '1 h 0 min' in words
    assert RECORD['command'] in words
    assert f'{TIMES[0]}/vis_data/config.py {work_dir} IMAGE_OR_FOLDER' in words
    assert 'nan' not in read.words
    assert facts.environment(read_history(work_dir))[1][1] in read.words


@pytest.mark.parametrize(
    ('config', 'names', 'scale'),
    [
        (DET, {'Mask AP': 'coco/segm_mAP', 'Box AP': 'coco/bbox_mAP'}, 100),
        (SEG, {'mIoU': 'mIoU', 'Mean accuracy': 'mAcc', 'Pixel accuracy': 'aAcc'}, 1),
    ],
)
def test_the_numbers_are_those_of_the_toolboxes(tmp_path, demo, config, names, scale):
    work_dir = make_work_dir(tmp_path / 'run', demo, config)
    checkpoint = str(work_dir / 'best_of_all_iter_3.pth')
    cfg = Config.fromfile(read_history(work_dir).config)
    ours, _, _ = page.evaluate(cfg, checkpoint)
    cfg.work_dir = str(tmp_path / 'other')
    runner = TestRunner.from_cfg(cfg)
    checkpoints.load(runner.model, checkpoint, strict=True)
    theirs = runner.test()
    for mine, their in names.items():
        expected = pytest.approx(scale * theirs[their], abs=0.051)
        assert ours.metrics[mine] == expected
    if config == DET:  # the data samples' ground truth serves as well as the json
        cfg.val_evaluator = dict(type='VOCMetric')
        without, _, _ = page.evaluate(cfg, checkpoint)
        assert [row[:2] for row in without.rows] == [row[:2] for row in ours.rows]
        assert without.matrix.counts.tolist() == ours.matrix.counts.tolist()


def test_a_training_without_a_checkpoint_has_a_page_that_says_so(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG, trained=False)
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert 'the work dir holds no checkpoint yet' in text
    assert Page(text).sections == [
        'summary', 'training', 'timing', 'setup', 'environment', 'commands'
    ]  # fmt: skip
    assert 'the best that was logged during training' in text
    assert f'python tools/train.py {work_dir}/{TIMES[0]}/vis_data/config.py' in text


def test_a_training_that_logged_nothing_has_a_page(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, DET, trained=False)
    (work_dir / TIMES[0] / 'vis_data' / 'scalars.json').unlink()
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert 'No line of training was logged' in text
    assert 'was not evaluated while it ran' in text


def test_data_that_is_gone_is_told_in_the_page(tmp_path):
    make_demo_data(tmp_path / 'data', train=1, val=1, size=96)
    work_dir = make_work_dir(tmp_path / 'run', tmp_path / 'data', SEG)
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    text = write_report(work_dir).read_text(encoding='utf-8')
    assert re.search('Not evaluated: val data: .* does not exist', text)
    assert '- images to train on' in text


@pytest.mark.parametrize('made', ['nothing', 'empty'])
def test_another_folder_is_refused_by_name(tmp_path, made):
    if made == 'empty':
        (tmp_path / 'run').mkdir()
    with pytest.raises(ValueError, match=f'{tmp_path}/run .*--work-dir of a training'):
        write_report(tmp_path / 'run')


def test_a_wrong_checkpoint_leaves_the_old_page(tmp_path, demo):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG)
    (work_dir / 'report.html').write_text('old')
    with pytest.raises(ValueError, match='none.pth'):
        write_report(work_dir, str(work_dir / 'none.pth'))
    assert (work_dir / 'report.html').read_text() == 'old'
    assert not list(work_dir.glob('*.part'))


def test_a_later_run_replaces_what_it_trained_again(tmp_path):
    first = [train_line(step, epoch=step // 20 + 1) for step in (10, 20, 35, 50)]
    first += [{'mAP': 0.1, 'step': 1}, {'mAP': 0.2, 'step': 2}]
    second = [train_line(step, epoch=step // 20 + 1, mark=1) for step in (30, 50, 60)]
    write_run(tmp_path, TIMES[0], first)
    folder = write_run(tmp_path, TIMES[1], [*second, {'mAP': 0.5, 'step': 2}])
    with (folder / 'vis_data' / 'scalars.json').open('a') as file:
        file.write('{"loss": 1, "st')  # cut short
    history = read_history(tmp_path)
    assert [line['step'] for line in history.train] == [10, 20, 30, 50, 60]
    assert [line.get('mark') for line in history.train] == [None, None, 1, 1, 1]
    assert [line['mAP'] for line in history.val] == [0.1, 0.5]
    assert history.config.parts[-3] == TIMES[1]
    assert history.by_epoch


def test_an_evaluation_is_no_run(tmp_path):
    write_run(tmp_path, TIMES[0], [train_line(1)])
    write_run(tmp_path, TIMES[1], [{'mIoU': 3.0, 'step': 0}])
    assert [run.folder.name for run in read_history(tmp_path).runs] == [TIMES[0]]


def test_times_are_recorded_or_estimated(tmp_path):
    folder = write_run(tmp_path, TIMES[0], [train_line(s) for s in (10, 20, 30)])
    history = read_history(tmp_path)
    assert history.runs[0].seconds == 40
    assert not history.is_timed
    (folder / 'run.json').write_text(json.dumps({**RECORD, 'finished': None}))
    history = read_history(tmp_path)
    assert history.runs[0].seconds == 3600
    assert history.is_timed
    assert not history.is_finished


def squares(*places: tuple[int, int], side: int = 20) -> np.ndarray:
    return np.array([(x, y, x + side, y + side) for x, y in places], float)


def prediction(image_id: int, boxes, labels, scores, masks=None):
    shape = 100, 100
    labels, scores = np.array(labels, int), np.array(scores, float)
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return detection.Predicted(
        image_id, 'none.png', shape, boxes, scores, labels, masks
    )


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
        detection.pictures, 'load', lambda path: np.zeros((100, 100, 3), np.uint8)
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
    return images, truth, tuple(names)


def test_ap_of_every_class_is_that_of_pycocotools(scenes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images, truth, classes = scenes
    result = detection.summarise(images, truth, classes)
    plain = COCO()
    plain.dataset = truth.dataset
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
        for name, category in zip(classes, (9, 4, 6), strict=True):
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
    images, truth, classes = scenes
    result = detection.summarise(images, truth, classes)
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


def test_images_without_predictions_or_objects_are_counted(scenes):
    _, truth, classes = scenes
    images = [prediction(1, [], [], []), prediction(2, [], [], [])]
    result = detection.summarise(images, truth, classes)
    assert result.matrix.counts[:3, 3].tolist() == [1, 2, 0]
    assert result.metrics['Box AP'] == 0
    assert [example.score for example in result.best + result.worst] == [0, 0]
    truth.imgToAnns[1] = []
    counts, best, worst = detection.compare(images, truth.imgToAnns, [9, 4, 6])
    assert len(best + worst) == 1


def test_pixels_are_counted_as_mmseg_does():
    from mmseg.evaluation import IoUMetric

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, (20, 30))
    labels = np.where(generator.random((20, 30)) < 0.6, truth, 1)
    truth[:4] = 255
    counts = segmentation.confusion(truth, labels, 4)
    areas = IoUMetric.intersect_and_union(
        torch.from_numpy(labels), torch.from_numpy(truth), 4, 255
    )
    theirs = IoUMetric.total_area_to_metrics(*areas)
    iou, accuracy = segmentation.iou_and_accuracy(counts)
    np.testing.assert_allclose(iou, theirs['IoU'], rtol=1e-6)
    np.testing.assert_allclose(accuracy, theirs['Acc'], rtol=1e-6)
    assert np.isnan(iou[3])
    result = segmentation.summarise(counts, ('a', 'b', 'c', 'd'), 1, [], [])
    assert result.metrics['mIoU'] == pytest.approx(100 * np.nanmean(theirs['IoU']))
    assert result.rows[-1][0] == 'd'
    assert result.matrix.shares[0].sum() == pytest.approx(1)
    assert {m.text for m in result.mistakes} == {'a taken for b', 'c taken for b'}


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


def test_charts_do_not_share_ids_and_escape_their_words():
    lines = [charts.Series('<b>', [1, 2, 3], [3, float('nan'), 1])]
    drawn = [
        charts.line_chart(title, lines, 'x', '$<y>') for title in ('One', 'Two <2>')
    ]
    ids = [re.findall(r'\bid="([^"]+)"', chart.svg) for chart in drawn]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for chart, own in zip(drawn, ids, strict=True):
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', chart.svg)
        assert {a or b for a, b in used} <= set(own)
        assert '<y>' not in chart.svg
        assert '<2>' not in chart.svg
        assert '$&lt;y&gt;' in chart.svg
        assert 'dc:date' not in chart.svg
    assert drawn[0].svg == charts.line_chart('One', lines, 'x', '$<y>').svg


def test_many_parts_and_classes_are_cut_to_what_can_be_told_apart(tmp_path):
    parts = {f'd{i}.loss_cls': float(i) for i in range(12)}
    write_run(tmp_path, TIMES[0], [train_line(s, **parts) for s in (1, 2)])
    drawn = {c.title: c for c in curves.training_charts(read_history(tmp_path), 1)}
    chart = drawn['Parts of the loss']
    assert [key.label for key in chart.legend][:2] == ['d11.loss_cls', 'd10.loss_cls']
    assert chart.note == 'The 7 largest of 14 parts.'
    recall = np.linspace(0, 1, 101)
    many = [found.Curve(f'k{i}', recall, np.full(101, i / 20)) for i in range(20)]
    result = segmentation.summarise(np.eye(2, dtype=int), ('a', 'b'), 1, [], [])
    object.__setattr__(result, 'class_curves', many)
    object.__setattr__(result, 'iou_curves', many[:3])
    by_class, _ = curves.precision_charts(result)
    labels = [key.label.partition(':')[0] for key in by_class.legend]
    assert labels == ['k19', 'k18', 'k17', 'k2', 'k1', 'k0']


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(3.21, '3.2 s'), (59, '59 s'), (3599, '1 h 0 min'), (200000, '2 d 7 h')],
)
def test_durations(seconds, text):
    assert page.duration(seconds) == text


def test_undefined_numbers_are_a_dash():
    assert page.number(float('nan')) == '-'
    assert page.number(None) == '-'
    assert page.number(12.345) == '12.3'


def test_commands_leave_out_the_home_folder(monkeypatch):
    monkeypatch.setenv('HOME', '/home/somebody')
    words = ['python', '/home/somebody/a b.py', '--x=/home/somebody/y', '/home/other/z']
    text = facts.portable([*words, "it's"])
    assert 'somebody' not in text
    assert text == (
        'python "$HOME/a b.py" "--x=$HOME/y" /home/other/z ' + "'it'\"'\"'s'"
    )


def test_the_tool_writes_the_page(tmp_path, demo, capsys):
    work_dir = make_work_dir(tmp_path / 'run', demo, SEG)
    other = work_dir / 'other.pth'
    (work_dir / 'best_of_all_iter_3.pth').rename(other)
    assert tool('report', work_dir, '--checkpoint', other) == 0
    assert 'report.html' in capsys.readouterr().out
    assert f'{other} IMAGE_OR_FOLDER' in (work_dir / 'report.html').read_text('utf-8')
    assert tool('report', tmp_path / 'none') == 1
    assert capsys.readouterr().err.startswith('error: work dir')


def test_examples_of_one_name_are_told_apart(scenes):
    images, truth, classes = scenes
    for folder in ('/data/cam{}', '/data/cam{}/day'):
        placed = [
            dataclasses.replace(image, path=f'{folder.format(i)}/7.png')
            for i, image in enumerate(images)
        ]
        result = detection.summarise(placed, truth, classes)
        names = {example.name for example in (*result.best, *result.worst)}
        assert names == {f'{folder.format(i)}/7.png'[len('/data/') :] for i in (0, 1)}


def test_examples_of_segments_of_one_name_are_told_apart(tmp_path):
    metric = segmentation.SegmentationFindings()
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


def test_pictures_have_one_size(tmp_path):
    for name, shape in (('small', (40, 20)), ('large', (600, 1200))):
        path = str(tmp_path / f'{name}.png')
        cv2.imwrite(path, np.full((*shape, 3), 90, np.uint8))
        assert max(detection.pictures.load(path).shape) == 560
