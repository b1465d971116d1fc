"""Views of an image, merged: boxes and masks land where the objects are."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops import roi_align
from mmcv.transforms import Compose
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.fileio import load
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.structures import InstanceData
from support.paths import ROOT

from convnext_backbone import checkpoints
from convnext_backbone.config.checks import check_config
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.openmmlab.runner import TestRunner
from convnext_backbone.tasks.tta import InstanceTTAModel, add_tta

CONFIGS = ROOT / 'configs'
MASK = 'det/mask_convnext_atto_nuclei.py'
CASCADE = 'det/cascade_convnext_atto_demo.py'
SEG = 'seg/upernet_convnext_atto_demo.py'
PLAIN, FLIPPED, UPSIDE_DOWN, TURNED = None, 'horizontal', 'vertical', 'diagonal'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')
    yield
    DefaultScope._instance_dict.clear()


def tiny(config: str) -> Config:
    """A config with a backbone of four blocks, few channels and few proposals."""
    cfg = Config.fromfile(CONFIGS / config)
    cfg.model = narrow(cfg.model)
    if 'rpn' in cfg.model.test_cfg:
        cfg.model.test_cfg.rpn.max_per_img = 60
    cfg.model.backbone.arch = dict(depths=(1, 1, 1, 1), channels=(8, 16, 24, 32))
    for part in ('neck', 'decode_head'):
        if part in cfg.model:
            cfg.model[part].in_channels = [8, 16, 24, 32]
    if 'auxiliary_head' in cfg.model:
        cfg.model.auxiliary_head.in_channels = 24
    return cfg


def narrow(node: object) -> object:
    fewer = {64: 16, 256: 32}
    if isinstance(node, dict):
        return type(node)(
            {
                key: fewer.get(value, value)
                if 'channels' in key and isinstance(value, int)
                else narrow(value)
                for key, value in node.items()
            }
        )
    return [narrow(item) for item in node] if isinstance(node, list) else node


def build(model: dict) -> torch.nn.Module:
    """A detector with random weights that finds different things in different boxes."""
    torch.manual_seed(0)
    detector = MODELS.build(model)
    detector.init_weights()
    for name, parameter in detector.named_parameters():
        if 'fc_cls.weight' in name or 'conv_logits.weight' in name:
            parameter.data.normal_(std=0.1)
        if 'retina_cls.bias' in name:
            parameter.data.fill_(-1.0)
    return detector.eval()


def without_masks(model: dict) -> dict:
    model = copy.deepcopy(model)
    model.type = 'FasterRCNN'
    model.roi_head.mask_roi_extractor = model.roi_head.mask_head = None
    return model


def agnostic() -> dict:
    model = tiny(MASK).model
    model.roi_head.bbox_head.update(num_classes=3, reg_class_agnostic=True)
    model.roi_head.mask_head.update(num_classes=3, class_agnostic=True)
    return model


def several_classes() -> dict:
    model = tiny(MASK).model
    model.roi_head.bbox_head.num_classes = model.roi_head.mask_head.num_classes = 5
    return model


def soft() -> dict:
    model = without_masks(several_classes())
    model.test_cfg.rcnn.nms = dict(type='soft_nms', iou_threshold=0.4)
    return model


def one_stage() -> dict:
    model = tiny(MASK).model
    return ConfigDict(
        type='RetinaNet',
        data_preprocessor=model.data_preprocessor,
        backbone=model.backbone,
        neck=model.neck,
        bbox_head=dict(
            type='RetinaHead',
            num_classes=3,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[4, 8, 16, 32, 64],
            ),
        ),
        test_cfg=dict(
            nms_pre=1000,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100,
        ),
    )


def view(image: np.ndarray, factor: float, direction: str | None) -> dict:
    """An image resized and flipped by mmdet's own transforms."""
    flip = dict(type='RandomFlip', prob=float(direction is not PLAIN))
    steps = [
        dict(type='Resize', scale_factor=factor, keep_ratio=True),
        flip if direction is PLAIN else dict(flip, direction=direction),
        dict(type='PackDetInputs'),
    ]
    shape = image.shape[:2]
    return Compose(steps)(dict(img=image, img_path='', img_id=0, ori_shape=shape))


def batch(images: list[np.ndarray], *views: tuple) -> dict:
    """What a loader makes of images in views of (factor, direction)."""
    items = []
    for image in images:
        seen = [view(image, *v) for v in views]
        items.append({key: [s[key] for s in seen] for key in seen[0]})
    return pseudo_collate(items)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


@torch.no_grad()
def plain(detector: torch.nn.Module, image: np.ndarray, factor: float) -> InstanceData:
    data = pseudo_collate([view(image, factor, PLAIN)])
    return detector.test_step(data)[0].pred_instances


@torch.no_grad()
def augmented(detector: torch.nn.Module, *args) -> list[InstanceData]:
    samples = InstanceTTAModel(detector).test_step(batch(*args))
    return [sample.pred_instances for sample in samples]


@pytest.mark.parametrize('factor', [1.0, 1.3])
@pytest.mark.parametrize(
    'make',
    [
        several_classes,
        agnostic,
        lambda: tiny(CASCADE).model,
        lambda: without_masks(several_classes()),
        lambda: without_masks(tiny(CASCADE).model),
        soft,
        one_stage,
    ],
    ids=['mask', 'agnostic', 'cascade', 'boxes', 'cascade-boxes', 'soft', 'one-stage'],
)
def test_a_single_view_is_the_plain_test(make, factor):
    detector, image = build(make()), noise(72, 100)
    expected = plain(detector, image, factor)
    (found,) = augmented(detector, [image], (factor, PLAIN))
    assert len(expected) > 5
    assert len(set(expected.labels.tolist())) > 1
    assert set(found.keys()) == set(expected.keys())
    assert torch.equal(found.labels, expected.labels)
    assert torch.allclose(found.bboxes, expected.bboxes, atol=1e-3)
    assert torch.allclose(found.scores, expected.scores, atol=1e-5)
    if 'masks' in expected:
        assert found.masks.shape == (len(expected), 72, 100)
        assert found.masks.dtype == torch.bool
        assert expected.masks.any()
        assert (found.masks != expected.masks).float().mean() < 1e-4


def assert_symmetric(left: np.ndarray) -> None:
    """Views of an image beside its mirror image give a symmetric result."""
    model = several_classes()
    # Without suppression: of a box and its mirror image, it would keep one.
    model.test_cfg.rcnn.update(nms=dict(type='nms', iou_threshold=1.0), max_per_img=-1)
    image = np.concatenate([left, left[:, ::-1]], 1)
    width = image.shape[1]
    (found,) = augmented(build(model), [image], (1.0, PLAIN), (1.0, FLIPPED))

    x1, y1, x2, y2 = found.bboxes.unbind(1)
    rest = torch.stack([y1, y2, found.scores, 100 * found.labels], 1)
    boxes = torch.cat([torch.stack([x1, x2], 1), rest], 1)
    mirrored = torch.cat([torch.stack([width - x2, width - x1], 1), rest], 1)
    distance, twin = (mirrored[:, None] - boxes).abs().amax(2).min(1)
    assert len(found) > 20
    assert distance.max() < 2e-2
    assert (twin != torch.arange(len(found))).any()
    assert found.masks.any()
    assert (found.masks[twin].flip(-1) != found.masks).float().mean() < 1e-3


def test_views_of_symmetric_noise_give_a_symmetric_result():
    assert_symmetric(noise(72, 50))


def test_views_of_a_symmetric_photograph_give_a_symmetric_result(data_dir):
    path = sorted((data_dir / 'nuclei' / 'val').glob('*'))[0]
    assert_symmetric(cv2.imread(str(path))[:128, :64])


def triangle(height: int, width: int, x: int, y: int, size: int = 30) -> np.ndarray:
    """A bright triangle on black that no flip leaves as it is."""
    image = np.zeros((height, width, 3), np.uint8)
    for row in range(size):
        image[y + row, x : x + row + 1] = 255
    return image


@pytest.fixture
def seeing() -> torch.nn.Module:
    """A detector that sees the pixels of a view: what is bright is the object."""
    detector = build(tiny(MASK).model)

    def locate(features, metas, proposals, rcnn_test_cfg, rescale):
        assert rescale
        found = []
        for pixels, meta in zip(features[0], metas, strict=True):
            height, width = meta['img_shape']
            rows, columns = (pixels[0, :height, :width] > 0).nonzero(as_tuple=True)
            boxes = torch.zeros(0, 4)
            if len(rows):
                edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                boxes = torch.tensor([edges]) / torch.tensor(meta['scale_factor'] * 2)
            labels = torch.zeros(len(boxes), dtype=torch.long)
            scores = torch.full((len(boxes),), 0.9)
            found.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
        return found

    def crop(features, rois):
        return dict(mask_preds=5 * roi_align(features[0][:, :1], rois, 28, 1.0, 2))

    detector.extract_feat = lambda inputs: (inputs,)
    detector.rpn_head.predict = lambda *args, **kwargs: None
    detector.roi_head.predict_bbox = locate
    detector.roi_head._mask_forward = crop
    return detector


def assert_found(found: InstanceData, image: np.ndarray, x: int, y: int) -> None:
    assert len(found) == 1
    expected = torch.tensor([[x, y, x + 30, y + 30]]).float()
    assert torch.allclose(found.bboxes, expected, atol=1.5)
    truth = torch.from_numpy(image[..., 0] > 0)
    both, either = (found.masks[0] & truth).sum(), (found.masks[0] | truth).sum()
    assert both / either > 0.9


@pytest.mark.parametrize('direction', [PLAIN, FLIPPED, UPSIDE_DOWN, TURNED])
@pytest.mark.parametrize('factor', [0.7, 1.0, 1.6])
def test_what_one_view_shows_is_found_in_the_image(seeing, factor, direction):
    image = triangle(61, 93, x=50, y=7)
    (found,) = augmented(seeing, [image], (factor, direction))
    assert_found(found, image, 50, 7)


def test_a_batch_of_several_sizes_one_without_objects(seeing):
    images = [
        triangle(61, 93, x=50, y=7),
        np.zeros((48, 64, 3), np.uint8),
        triangle(80, 70, x=3, y=40),
    ]
    views = [(f, d) for f in (0.75, 1.0, 1.25) for d in (PLAIN, FLIPPED, TURNED)]
    first, empty, last = augmented(seeing, images, *views)
    assert_found(first, images[0], 50, 7)
    assert_found(last, images[2], 3, 40)
    assert empty.bboxes.shape == (0, 4)
    assert empty.masks.shape == (0, 48, 64)
    assert empty.masks.dtype == torch.bool


@pytest.mark.parametrize(('second', 'is_object'), [(0.2, True), (0.05, False)])
def test_probabilities_of_the_views_are_averaged(seeing, second, is_object):
    values = iter([0.9, second])

    def constant(features, rois):
        masks = torch.full((len(rois), 1, 28, 28), next(values))
        return dict(mask_preds=masks.logit())

    seeing.roi_head._mask_forward = constant
    image = triangle(61, 93, x=50, y=7)
    (found,) = augmented(seeing, [image], (1.0, PLAIN), (1.0, FLIPPED))
    assert bool(found.masks[0, 10:35, 55:75].all()) == is_object
    assert bool(found.masks.any()) == is_object


def test_features_are_extracted_once_a_view(seeing):
    calls = []
    seeing.extract_feat = lambda inputs: calls.append(0) or (inputs,)
    augmented(seeing, [triangle(61, 93, 50, 7)], (1.0, PLAIN), (1.0, FLIPPED))
    assert len(calls) == 2


@pytest.mark.parametrize('config', [MASK, CASCADE])
def test_no_detections_at_all(config):
    model = tiny(config).model
    model.test_cfg.rcnn.score_thr = 1.0
    images = [noise(72, 100), noise(50, 64)]
    found = augmented(build(model), images, (1.0, PLAIN), (0.75, FLIPPED))
    assert [f.masks.shape for f in found] == [(0, 72, 100), (0, 50, 64)]
    assert all(len(f.bboxes) == len(f.scores) == len(f.labels) == 0 for f in found)


@pytest.mark.parametrize('make', [one_stage, soft])
def test_box_detectors_merge_views_of_several_images(make):
    images = [noise(72, 100), noise(50, 64)]
    found = augmented(build(make()), images, (1.0, PLAIN), (1.25, FLIPPED))
    for instances, image in zip(found, images, strict=True):
        assert 5 < len(instances) <= 100
        assert 'masks' not in instances
        height, width = image.shape[:2]
        assert instances.bboxes.min() >= -1e-3
        assert (instances.bboxes.amax(0) <= torch.tensor([width, height] * 2) + 1).all()
        assert (instances.scores.diff() <= 0).all()


def test_masks_of_a_head_with_a_way_of_its_own_are_refused():
    detector = build(tiny(MASK).model)
    head = type(detector.roi_head)
    own = dict(
        predict_mask=lambda self, *args, **kw: head.predict_mask(self, *args, **kw)
    )
    detector.roi_head.__class__ = type('OwnRoIHead', (head,), own)
    with pytest.raises(ValueError, match='cannot merge what MaskRCNN predicts'):
        augmented(detector, [noise(72, 100)], (1.0, PLAIN))


def test_a_detector_without_nms_is_refused():
    model = one_stage()
    del model.test_cfg.nms
    with pytest.raises(ValueError, match='RetinaNet has no nms in its test_cfg'):
        InstanceTTAModel(model)


def test_views_follow_the_test_pipeline():
    cfg = Config.fromfile(CONFIGS / 'det/mask_convnext_t_coco.py')
    before = copy.deepcopy(cfg.val_dataloader)
    add_tta(cfg)
    load, tta = cfg.test_dataloader.dataset.pipeline
    assert load['type'] == 'LoadImageFromFile'
    (views,) = tta['transforms']
    steps = [v['transforms'] for v in views]
    scales = [(1333, 800)] * 2 + [(1000, 600)] * 2 + [(1666, 1000)] * 2
    assert [s[0]['scale'] for s in steps] == scales
    assert [s[1]['prob'] for s in steps] == [0.0, 1.0] * 3
    kinds = [[step['type'] for step in s[2:]] for s in steps]
    assert kinds == [['LoadAnnotations', 'PackDetInputs']] + [['PackDetInputs']] * 5
    assert all(s[-1]['meta_keys'][-2:] == ('flip', 'flip_direction') for s in steps)
    assert cfg.val_dataloader == before


def test_a_pipeline_without_resize_is_refused():
    cfg = Config.fromfile(CONFIGS / CASCADE)
    del cfg.test_dataloader.dataset.pipeline[1]
    with pytest.raises(ValueError, match='the test pipeline has no Resize'):
        add_tta(cfg)


def test_a_segmentor_needs_a_pipeline_of_its_own():
    cfg = Config.fromfile(CONFIGS / SEG)
    cfg.pop('tta_pipeline', None)
    with pytest.raises(ValueError, match='has no tta_model and tta_pipeline'):
        add_tta(cfg)


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('tta') / 'demo'
    make_demo_data(root, train=1, val=2, size=128)
    return root


@pytest.mark.parametrize('config', [MASK, CASCADE, SEG])
def test_a_config_is_evaluated_with_views(demo, tmp_path, config):
    cfg = tiny(config)
    dataset, evaluator = cfg.test_dataloader.dataset, cfg.test_evaluator
    dataset.data_root = str(demo)
    if config == MASK:
        dataset.data_prefix = dict(img='images/validation/')
        dataset.metainfo = dict(classes=('disk',), palette=[(230, 74, 64)])
    if config != SEG:
        dataset.ann_file = 'annotations/val.json'
        evaluator.ann_file = f'{demo}/annotations/val.json'
        cfg.model.test_cfg.rcnn.max_per_img = 5
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    out = tmp_path / 'out.pkl'
    dump = dict(type='DumpResults', out_file_path=str(out))
    cfg.test_evaluator = [evaluator, dump]
    show = tmp_path / 'show'
    hook = dict(type='convnext_backbone.ShowResultsHook', out_dir=str(show))
    cfg.custom_hooks = [hook]
    cfg.visualizer.vis_backends = []
    cfg.work_dir = str(tmp_path)
    check_config(cfg, ('test',))
    DefaultScope._instance_dict.clear()
    init_default_scope(cfg.default_scope)
    checkpoint = tmp_path / 'model.pth'
    torch.save({'state_dict': build(copy.deepcopy(cfg.model)).state_dict()}, checkpoint)

    add_tta(cfg)
    runner = TestRunner.from_cfg(cfg)
    checkpoints.load(runner.model.module, str(checkpoint), strict=True)
    metrics = runner.test()

    names = ['mIoU'] if config == SEG else ['coco/bbox_mAP', 'coco/segm_mAP']
    assert all(name in metrics for name in names)
    assert len(list((show / 'images').iterdir())) == 2
    samples = load(out)
    assert len(samples) == 2
    for sample in samples:
        if config == SEG:
            assert sample['pred_sem_seg']['data'].shape[-2:] == (128, 128)
        else:
            masks = sample['pred_instances']['masks']
            assert len(masks) > 0
            assert masks.shape[1:] == (128, 128)
            assert sample['gt_instances']['masks'].masks.shape[1:] == (128, 128)
