"""Every number of the COCO metrics is that of pycocotools, under its own class."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope, init_default_scope
from support.coco_scenes import make_scenes, predict, reference_ap

from convnext_backbone.demo_scenes import CLASSES, make_demo_data
from convnext_backbone.openmmlab.coco_metric import CocoMetric, FasterCocoMetric
from convnext_backbone.results.predictions import encode


@pytest.fixture
def scope():
    init_default_scope('mmdet')
    yield
    DefaultScope._instance_dict.clear()


def noisy_predictions(dataset) -> list[dict]:
    """Ground truth with boxes moved, masks shifted, and some labels wrong."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for item in dataset:
        sample = item['data_samples']
        boxes = sample.gt_instances.bboxes.tensor.repeat(2, 1)
        labels = sample.gt_instances.labels.repeat(2)
        masks = torch.as_tensor(sample.gt_instances.masks.masks).repeat(2, 1, 1)
        shift = torch.randint(-6, 7, (len(boxes), 2), generator=generator)
        moved = [m.roll(s.tolist(), (0, 1)) for m, s in zip(masks, shift, strict=True)]
        wrong = torch.rand(len(labels), generator=generator) < 0.2
        labels = torch.where(wrong, (labels + 1) % len(CLASSES), labels)
        predicted = dict(
            bboxes=boxes + shift.flip(1).repeat(1, 2),
            scores=torch.rand(len(boxes), generator=generator),
            labels=labels,
            masks=[encode(m.numpy()) for m in moved],
        )
        samples.append(
            dict(
                img_id=sample.img_id,
                ori_shape=sample.ori_shape,
                pred_instances=predicted,
            )
        )
    return samples


def test_both_evaluators_agree_on_every_number(tmp_path, scope):
    pytest.importorskip('faster_coco_eval')
    from mmdet.registry import DATASETS

    make_demo_data(tmp_path / 'd', train=1, val=12, size=128)
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=f'{tmp_path}/d/',
            metainfo=dict(classes=CLASSES),
            ann_file='annotations/val.json',
            data_prefix=dict(img='images/validation/'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='PackDetInputs'),
            ],
        )
    )
    samples = noisy_predictions(dataset)
    results = []
    for kind in (CocoMetric, FasterCocoMetric):
        metric = kind(
            ann_file=f'{tmp_path}/d/annotations/val.json',
            metric=['bbox', 'segm'],
            classwise=True,
        )
        metric.dataset_meta = dataset.metainfo
        metric.process({}, samples)
        results.append(metric.evaluate(len(samples)))
    slow, fast = results
    assert slow.keys() == fast.keys()
    assert 0.1 < slow['coco/bbox_mAP'] < 0.9
    assert 0.1 < slow['coco/segm_mAP'] < 0.9
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


METRICS = pytest.mark.parametrize('kind', [CocoMetric, FasterCocoMetric])


def evaluate(kind, path, content, classes, samples, **options) -> dict[str, float]:
    if path is not None:
        path.write_text(json.dumps(content))
        options['ann_file'] = str(path)
    metric = kind(metric=['bbox', 'segm'], classwise=True, **options)
    metric.dataset_meta = dict(classes=tuple(classes))
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def assert_as_pycocotools(values, content, samples, classes) -> None:
    for part in ('bbox', 'segm'):
        expected = reference_ap(content, samples, classes, part)
        for name, value in expected.items():
            found = values[f'coco/{part}_{name}_precision']
            assert found == pytest.approx(value, abs=6e-4, nan_ok=True), (part, name)
        assert values[f'coco/{part}_mAP'] == pytest.approx(
            np.nanmean(list(expected.values())), abs=6e-4
        )


@METRICS
@pytest.mark.parametrize(
    ('categories', 'classes'),
    [
        ({'disc': 70, 'box': 3}, ('disc', 'box')),
        ({'disc': 70, 'box': 3}, ('box', 'disc')),
        ({'c': 9, 'a': 1, 'b': 5, 'd': 4}, ('d', 'a', 'c', 'b')),
        ({'x': 3, 'unused': 1, 'y': 2}, ('y', 'x')),
        ({'one': 1, 'two': 2, 'three': 3}, ('one', 'two', 'three')),
    ],
)
def test_ap_by_class_is_that_of_pycocotools(tmp_path, scope, kind, categories, classes):
    content = make_scenes({name: categories[name] for name in categories})
    content['annotations'] = [
        a
        for a in content['annotations']
        if a['category_id'] != categories.get('unused')
    ]
    samples = predict(content, classes)
    values = evaluate(kind, tmp_path / 'a.json', content, classes, samples)
    expected = reference_ap(content, samples, classes, 'segm')
    assert len(set(expected.values())) == len(classes)  # swapped ones would show
    assert_as_pycocotools(values, content, samples, classes)


@METRICS
def test_a_class_without_objects_and_a_second_evaluation(tmp_path, scope, kind):
    classes = 'b', 'c', 'a'
    content = make_scenes({'c': 3, 'a': 2, 'b': 8})
    content['annotations'] = [
        a for a in content['annotations'] if a['category_id'] != 3
    ]
    samples = predict(content, classes)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    metric = kind(ann_file=str(path), metric=['bbox', 'segm'], classwise=True)
    metric.dataset_meta = dict(classes=classes)
    for _ in range(2):  # as after each epoch
        metric.process({}, samples)
        values = metric.evaluate(len(samples))
        assert np.isnan(values['coco/bbox_c_precision'])
        assert_as_pycocotools(values, content, samples, classes)


def test_ignored_instances_are_crowds_without_an_annotation_file(scope):
    classes = 'a', 'b'
    content = make_scenes({'a': 0, 'b': 1})
    samples = predict(content, classes)
    for sample in samples:
        for key, crowd in (('gt_instances', 0), ('ignored_instances', 1)):
            mine = [
                a
                for a in content['annotations']
                if a['image_id'] == sample['img_id'] and a['iscrowd'] == crowd
            ]
            boxes = torch.tensor([a['bbox'] for a in mine], dtype=torch.float32)
            boxes = boxes.reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            labels = torch.tensor([a['category_id'] for a in mine])
            sample[key] = dict(bboxes=boxes, labels=labels)
    metric = FasterCocoMetric(metric='bbox', classwise=True)
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    values = metric.evaluate(len(samples))
    for name, value in reference_ap(content, samples, classes, 'bbox').items():
        found = values[f'coco/bbox_{name}_precision']
        assert found == pytest.approx(value, abs=6e-4)


@METRICS
@pytest.mark.parametrize('classes', [('a', 'b'), ('b', 'a')])
def test_nothing_predicted_is_an_ap_of_zero(tmp_path, scope, kind, classes):
    content = make_scenes({'b': 7, 'a': 2})
    samples = predict(content, classes)
    for sample in samples:
        found = sample['pred_instances']
        for key in ('bboxes', 'scores', 'labels', 'masks'):
            found[key] = found[key][:0]
    values = evaluate(kind, tmp_path / 'a.json', content, classes, samples)
    for name in ('bbox_mAP', 'segm_mAP_50', 'bbox_a_precision', 'segm_b_precision'):
        assert values[f'coco/{name}'] == 0
    assert values['coco/bbox_mAP_l'] == -1  # there are no large objects to find


def test_categories_must_be_found_by_name(tmp_path, scope):
    content = make_scenes({'a': 1, 'b': 2})
    samples = predict(content, ('a', 'b'))
    with pytest.raises(ValueError, match='has no category c'):
        evaluate(CocoMetric, tmp_path / 'a.json', content, ('a', 'c'), samples)
    content['categories'].append(dict(id=5, name='a'))
    with pytest.raises(ValueError, match="2 categories 'a', with the ids 1, 5"):
        evaluate(CocoMetric, tmp_path / 'a.json', content, ('a', 'b'), samples)
