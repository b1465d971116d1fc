"""faster-coco-eval gives the numbers of pycocotools."""

import pytest
import torch
from mmengine.registry import DefaultScope, init_default_scope

from convnext_backbone.demo_scenes import CLASSES, make_demo_data
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
    from mmdet.registry import DATASETS, METRICS

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
    for name in ('CocoMetric', 'FasterCocoMetric'):
        metric = METRICS.build(
            dict(
                type=name,
                ann_file=f'{tmp_path}/d/annotations/val.json',
                metric=['bbox', 'segm'],
                classwise=True,
            )
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
