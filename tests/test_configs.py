"""Every config: it parses, stays short, builds, and says what was published."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from convnext_backbone.config_checks import check_channels, iter_heads
from convnext_backbone.data import CLASSES, PALETTE, SEG_CLASSES, SEG_PALETTE

ROOT = Path(__file__).parents[1]
LEAVES = sorted((ROOT / 'configs').glob('*/*.py'))
LEAF_NAMES = [str(p.relative_to(ROOT / 'configs')) for p in LEAVES]

# docs of the published recipes: arXiv 2201.03545, facebookresearch/ConvNeXt
PUBLISHED = {
    'det/mask_convnext_t_coco.py': dict(
        lr=1e-4, rate=0.95, type='layer_wise', drop_path=0.4, result='46.2 box AP'
    ),
    'det/cascade_convnext_t_coco.py': dict(
        lr=2e-4, rate=0.7, type='layer_wise', drop_path=0.4, result='50.4 box AP'
    ),
    'seg/upernet_convnext_t_ade20k.py': dict(
        lr=1e-4, rate=0.9, type='stage_wise', drop_path=0.4, result='46.0 mIoU'
    ),
}
# The weights without averaging: recipes start from them.
PRETRAINED = dict(
    type='convnext_backbone.Checkpoint', source='meta://convnext_tiny_1k_224'
)


@pytest.fixture(autouse=True)
def own_scope():
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(params=LEAVES, ids=LEAF_NAMES)
def leaf(request) -> Path:
    return request.param


def test_leaves_are_short_and_say_what_they_are(leaf):
    lines = leaf.read_text().splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith('"""')


def test_configs_build_with_matching_channels_and_classes(leaf):
    cfg = Config.fromfile(leaf)
    check_channels(cfg)
    counts = {head['num_classes'] for _, head in iter_heads(cfg.model)}
    assert len(counts) == 1
    classes = cfg.get('metainfo', {}).get('classes')
    if classes:
        assert counts == {len(classes)}
        assert len(cfg.metainfo.palette) == len(classes)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert type(model.backbone).__module__ == 'convnext_backbone.convnext'
    assert cfg.custom_imports.imports == ['convnext_backbone']


def test_evaluators_read_the_data_that_is_tested(leaf):
    cfg = Config.fromfile(leaf)
    for split in ('val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == cfg.data_root
        ann_file = cfg[f'{split}_evaluator'].get('ann_file')
        if ann_file is not None:
            assert ann_file == dataset.data_root + dataset.ann_file


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_hyperparameters(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    published = PUBLISHED[name]
    optim = cfg.optim_wrapper
    assert optim.type == 'AmpOptimWrapper'
    assert optim.optimizer == dict(
        type='AdamW', lr=published['lr'], betas=(0.9, 0.999), weight_decay=0.05
    )
    assert optim.paramwise_cfg == dict(
        decay_rate=published['rate'], decay_type=published['type']
    )
    assert 'clip_grad' not in optim
    assert cfg.model.backbone.arch == 'tiny'
    assert cfg.model.backbone.init_cfg == PRETRAINED
    assert cfg.model.backbone.drop_path_rate == published['drop_path']
    assert cfg.model.backbone.layer_scale_init_value == 1.0
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert published['result'] in (ROOT / 'configs' / name).read_text()


@pytest.mark.parametrize('name', [n for n in PUBLISHED if n.startswith('det')])
def test_published_detection_schedule_and_augmentation(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    assert cfg.train_cfg.max_epochs == 36
    warmup, steps = cfg.param_scheduler
    assert (warmup.begin, warmup.end, warmup.by_epoch) == (0, 1000, False)
    assert (steps.milestones, steps.gamma, steps.by_epoch) == ([27, 33], 0.1, True)
    flip, choice = cfg.train_dataloader.dataset.pipeline[2:4]
    assert (flip.type, flip.prob) == ('RandomFlip', 0.5)
    multi_scale, crop = choice.transforms
    scales = [(s, 1333) for s in (480, 512, 544, 576, 608, 640, 672, 704, 736)]
    assert multi_scale[0].scales == [*scales, (768, 1333), (800, 1333)]
    assert [t.type for t in crop] == [
        'RandomChoiceResize',
        'RandomCrop',
        'RandomChoiceResize',
    ]
    assert crop[0].scales == [(400, 1333), (500, 1333), (600, 1333)]
    assert crop[1].crop_size == (384, 600)
    assert crop[2] == multi_scale[0]


def test_published_cascade_heads():
    cfg = Config.fromfile(ROOT / 'configs/det/cascade_convnext_t_coco.py')
    heads = cfg.model.roi_head.bbox_head
    stds = [h.bbox_coder.target_stds for h in heads]
    assert stds == [
        [0.1, 0.1, 0.2, 0.2],
        [0.05, 0.05, 0.1, 0.1],
        [0.033, 0.033, 0.067, 0.067],
    ]
    for head in heads:
        assert (head.num_shared_convs, head.num_shared_fcs) == (4, 1)
        assert head.norm_cfg.type == 'SyncBN'
        assert head.loss_bbox == dict(type='GIoULoss', loss_weight=10.0)
        assert head.reg_decoded_bbox
    ious = [stage.assigner.pos_iou_thr for stage in cfg.model.train_cfg.rcnn]
    assert ious == [0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        (
            'det/mask_convnext_t_coco.py',
            'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
        ),
        (
            'det/cascade_convnext_t_coco.py',
            'mmdet::convnext/cascade-mask-rcnn_convnext-t-p4-w7_fpn_4conv1fc-giou_'
            'amp-ms-crop-3x_coco.py',
        ),
    ],
)
def test_detectors_equal_mmdets_own_but_for_the_backbone(ours, theirs):
    mine = Config.fromfile(ROOT / 'configs' / ours)
    import mmdet

    path = Path(mmdet.__file__).parent / '.mim/configs' / theirs.split('::')[1]
    if not path.is_file():
        pytest.skip('mmdet was installed without its configs')
    reference = Config.fromfile(path, import_custom_modules=False)
    backbones = [cfg.model.pop('backbone') for cfg in (mine, reference)]
    for key in ('arch', 'drop_path_rate', 'layer_scale_init_value'):
        assert backbones[0][key] == backbones[1][key]
    assert mine.model.to_dict() == reference.model.to_dict()
    assert mine.train_cfg.max_epochs == reference.train_cfg.max_epochs
    assert mine.param_scheduler == reference.param_scheduler
    for split in ('train', 'val', 'test'):
        steps = [
            [
                {k: v for k, v in step.items() if k != 'backend_args'}
                for step in pipeline
            ]
            for pipeline in (
                cfg[f'{split}_dataloader'].dataset.pipeline for cfg in (mine, reference)
            )
        ]
        assert steps[0] == steps[1]


def test_the_segmentor_equals_mmsegs_own_but_for_the_backbone():
    mine = Config.fromfile(ROOT / 'configs/seg/upernet_convnext_t_ade20k.py')
    import mmseg

    path = Path(mmseg.__file__).parent / '.mim/configs/convnext'
    path /= 'convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py'
    if not path.is_file():
        pytest.skip('mmseg was installed without its configs')
    reference = Config.fromfile(path, import_custom_modules=False)
    for cfg in (mine, reference):
        cfg.model.pop('backbone')
    reference.model.pop('pretrained')
    assert mine.model.to_dict() == reference.model.to_dict()
    assert mine.param_scheduler == reference.param_scheduler
    assert mine.train_cfg == reference.train_cfg
    pipelines = (c.train_dataloader.dataset.pipeline for c in (mine, reference))
    assert next(pipelines) == next(pipelines)


def test_demo_configs_have_the_generator_s_classes_and_colours():
    det = Config.fromfile(ROOT / 'configs/det/cascade_convnext_atto_demo.py')
    assert tuple(det.metainfo.classes) == CLASSES
    assert tuple(det.metainfo.palette) == PALETTE
    seg = Config.fromfile(ROOT / 'configs/seg/upernet_convnext_atto_demo.py')
    assert tuple(seg.metainfo.classes) == SEG_CLASSES
    assert tuple(seg.metainfo.palette) == SEG_PALETTE


@pytest.mark.parametrize('name', [n for n in LEAF_NAMES if 'atto' in n])
def test_small_models_learn_from_one_step(name):
    """One forward, loss and backward; every parameter that trains gets a gradient."""
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    torch.manual_seed(0)
    images = [torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)] * 2
    if name.startswith('det'):
        from mmdet.testing import demo_mm_inputs

        data = demo_mm_inputs(2, (3, 128, 128), num_items=[4, 4], with_mask=True)
        for sample in data['data_samples']:
            sample.gt_instances.labels %= len(cfg.metainfo.classes)
    else:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        samples = []
        for _ in images:
            sample = SegDataSample(metainfo=dict(img_shape=(128, 128)))
            label = torch.randint(0, len(cfg.metainfo.classes), (1, 128, 128))
            sample.gt_sem_seg = PixelData(data=label)
            samples.append(sample)
        data = dict(inputs=images, data_samples=samples)
    batch = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert not unused
