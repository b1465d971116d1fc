"""The detectors: recipes as published, and one training step of every family."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from support.paths import ROOT
from support.small_models import narrow, sample_few

DET = ROOT / 'configs' / 'det'

# arXiv 2201.03545 table 3 and facebookresearch/ConvNeXt object_detection; for V2 arXiv
# 2301.00808, decay and drop path as mmdet's port has them, none having been released.
# config: arch, lr, decay, drop path, num_layers, AMP, pretrain, box AP, mask AP
PUBLISHED = {
    'mask_convnext_t_coco': (
        *('tiny', 1e-4, 0.95, 0.4, 6, True),
        *('convnext_tiny_1k_224', 46.2, 41.7),
    ),
    'cascade_convnext_t_coco': (
        *('tiny', 2e-4, 0.7, 0.4, 6, True),
        *('convnext_tiny_1k_224', 50.4, 43.7),
    ),
    'cascade_convnext_s_coco': (
        *('small', 2e-4, 0.7, 0.6, 12, True),
        *('convnext_small_1k_224', 51.9, 45.0),
    ),
    'cascade_convnext_b_coco': (
        *('base', 2e-4, 0.8, 0.7, 12, True),
        *('convnext_base_1k_224', 52.7, 45.6),
    ),
    'cascade_convnext_b_in22k_coco': (
        *('base', 1e-4, 0.8, 0.6, 12, True),
        *('convnext_base_22k_224', 54.0, 46.9),
    ),
    'cascade_convnext_l_in22k_coco': (
        *('large', 1e-4, 0.7, 0.7, 12, False),
        *('convnext_large_22k_224', 54.8, 47.6),
    ),
    'cascade_convnext_xl_in22k_coco': (
        *('xlarge', 1e-4, 0.7, 0.8, 12, False),
        *('convnext_xlarge_22k_224', 55.2, 47.7),
    ),
    'mask_convnextv2_b_coco': (
        *('base', 1e-4, 0.95, 0.4, 12, True),
        *('convnextv2_base_1k_224_fcmae', 52.9, 46.6),
    ),
    'mask_convnextv2_l_coco': (
        *('large', 1e-4, 0.95, 0.4, 12, True),
        *('convnextv2_large_1k_224_fcmae', 54.4, 47.7),
    ),
    'mask_convnextv2_h_coco': (
        *('huge', 1e-4, 0.95, 0.4, 12, True),
        *('convnextv2_huge_1k_224_fcmae', 55.7, 48.9),
    ),
}
BASELINES = {
    'mask_swin_t_coco': (46.0, 41.6),
    'cascade_r50_coco': (46.3, 40.1),
    'cascade_swin_t_coco': (50.4, 43.7),
    'cascade_swin_s_coco': (51.9, 45.0),
    'cascade_swin_b_coco': (51.9, 45.0),
    'cascade_swin_b_in22k_coco': (53.0, 45.8),
    'cascade_swin_l_in22k_coco': (53.9, 46.7),
}
V1_3X = [n for n in PUBLISHED if 'v2' not in n] + list(BASELINES)


def read(name: str) -> Config:
    return Config.fromfile(DET / f'{name}.py')


def results(box: float, mask: float) -> str:
    return f'{box} box AP, {mask} mask AP (published)'


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_hyperparameters(name):
    cfg = read(name)
    arch, lr, rate, drop_path, _, amp, pretrain, box, mask = PUBLISHED[name]
    v2 = 'convnextv2' in name
    optim = cfg.optim_wrapper
    assert optim.type == ('AmpOptimWrapper' if amp else 'OptimWrapper')
    assert optim.constructor == 'convnext_backbone.LayerDecayOptimWrapperConstructor'
    assert optim.optimizer == dict(
        type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert optim.paramwise_cfg == dict(decay_rate=rate, decay_type='layer_wise')
    assert 'clip_grad' not in optim
    backbone = cfg.model.backbone
    assert backbone.arch == arch
    assert backbone.drop_path_rate == drop_path
    assert backbone.layer_scale_init_value == 1.0
    assert backbone.get('use_grn', False) == v2
    assert backbone.init_cfg == dict(
        type='convnext_backbone.Checkpoint', source=f'meta://{pretrain}'
    )
    assert cfg.train_cfg.max_epochs == 36
    total = cfg.train_dataloader.batch_size * 8
    assert total == cfg.auto_scale_lr.base_batch_size == (32 if v2 else 16)
    first_line = (DET / f'{name}.py').read_text().splitlines()[0]
    assert results(box, mask) in first_line
    assert f'{pretrain}.p' in (DET / f'{name}.py').read_text()


@pytest.mark.parametrize('name', BASELINES)
def test_baselines_have_the_schedule_of_convnext_and_no_layer_decay(name):
    cfg, ours = read(name), read('cascade_convnext_t_coco')
    assert results(*BASELINES[name]) in (DET / f'{name}.py').read_text()
    for key in ('param_scheduler', 'train_cfg', 'train_dataloader', 'auto_scale_lr'):
        assert cfg[key] == ours[key]
    optim = cfg.optim_wrapper
    assert optim.constructor == 'DefaultOptimWrapperConstructor'
    assert (optim.optimizer.lr, optim.optimizer.weight_decay) == (1e-4, 0.05)
    assert optim.paramwise_cfg.norm_decay_mult == 0.0


# name: scale of the stem, of stage 2's first and last block, of stage 3
GOLDEN = {
    'cascade_convnext_t_coco': (0.7**7, 0.7**4, 0.7**2, 0.7),
    'cascade_convnext_s_coco': (0.7**13, 0.7**10, 0.7**2, 0.7),
    'cascade_convnext_b_coco': (0.8**13, 0.8**10, 0.8**2, 0.8),
    'cascade_convnext_l_in22k_coco': (0.7**13, 0.7**10, 0.7**2, 0.7),
    'cascade_convnext_xl_in22k_coco': (0.7**13, 0.7**10, 0.7**2, 0.7),
}


@pytest.mark.parametrize('name', GOLDEN)
def test_layer_decay_has_the_golden_values(name):
    cfg = read(name)
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = dict(cfg.optim_wrapper, type='OptimWrapper')
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    scales = {
        id(p): group['lr'] / cfg.optim_wrapper.optimizer.lr
        for group in optimizer.param_groups
        for p in group['params']
    }
    depth = model.backbone.depths[2]
    got = [
        scales[id(dict(model.backbone.named_parameters())[key])]
        for key in (
            'downsample_layers.0.0.weight',
            'stages.2.0.dwconv.weight',
            f'stages.2.{depth - 1}.dwconv.weight',
            'stages.3.2.pwconv2.weight',
        )
    ]
    assert got == pytest.approx(GOLDEN[name])
    if name.endswith('t_coco'):
        assert round(got[0], 4) == 0.0824
    assert scales[id(model.backbone.norm0.weight)] == 1


@pytest.mark.parametrize('name', V1_3X)
def test_published_schedule_and_augmentation(name):
    cfg = read(name)
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


def test_large_scale_jitter():
    cfg = read('mask_convnextv2_b_coco')
    resize, crop = cfg.train_dataloader.dataset.pipeline[2:4]
    assert (resize.scale, resize.ratio_range) == ((1024, 1024), (0.1, 2.0))
    assert crop.crop_size == (1024, 1024)
    assert cfg.model.test_cfg.rcnn.nms.type == 'soft_nms'


def test_one_epoch_count_differs_between_1x_and_3x():
    cfg = read('mask_convnext_t_1x_coco')
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 12
    assert cfg.param_scheduler[1].milestones == [8, 11]


@pytest.mark.parametrize('name', [n for n in V1_3X if n.startswith('cascade')])
def test_published_cascade_heads(name):
    cfg = read(name)
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


SAME_AS_MMDETS = {
    'mask_convnext_t_coco': 'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
    'cascade_convnext_t_coco': 'cascade-mask-rcnn_convnext-t-p4-w7_fpn_4conv1fc-giou_'
    'amp-ms-crop-3x_coco.py',
    'cascade_convnext_s_coco': 'cascade-mask-rcnn_convnext-s-p4-w7_fpn_4conv1fc-giou_'
    'amp-ms-crop-3x_coco.py',
}


@pytest.mark.parametrize('ours', SAME_AS_MMDETS)
def test_detectors_equal_mmdets_own_but_for_the_backbone(ours):
    import mmdet

    mine = read(ours)
    path = Path(mmdet.__file__).parent / '.mim/configs/convnext' / SAME_AS_MMDETS[ours]
    if not path.is_file():
        pytest.skip('mmdet was installed without its configs')
    reference = Config.fromfile(path, import_custom_modules=False)
    backbones = [cfg.model.pop('backbone') for cfg in (mine, reference)]
    for key in ('arch', 'drop_path_rate', 'layer_scale_init_value'):
        assert backbones[0][key] == backbones[1][key]
    assert mine.model.to_dict() == reference.model.to_dict()
    assert mine.train_cfg.max_epochs == reference.train_cfg.max_epochs
    assert mine.param_scheduler == reference.param_scheduler
    assert mine.optim_wrapper.optimizer == reference.optim_wrapper.optimizer
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


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        (
            'fcos_convnext_t_coco',
            'fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-'
            'centeronreg-giou_1x_coco.py',
        ),
        ('dino_convnext_t_coco', 'dino/dino-4scale_r50_8xb2-12e_coco.py'),
    ],
)
def test_current_detectors_have_mmdets_heads(ours, theirs):
    import mmdet

    path = Path(mmdet.__file__).parent / '.mim/configs' / theirs
    if not path.is_file():
        pytest.skip('mmdet was installed without its configs')
    mine, reference = read(ours).model, Config.fromfile(path).model
    for model in (mine, reference):
        del model['backbone'], model['data_preprocessor']
        del model['neck']['in_channels']
    reference.get('bbox_head').pop('dcn_on_last_conv', None)
    mine.pop('train_cfg', None) if 'train_cfg' not in reference else None
    assert mine.to_dict() == reference.to_dict()


FAMILIES = {
    'mask_convnext_t_coco': True,
    'cascade_convnext_t_coco': True,
    'faster_convnext_t_coco': False,
    'cascade_boxes_convnext_t_coco': False,
    'mask_convnextv2_b_coco': True,
    'fcos_convnext_t_coco': False,
    'dino_convnext_t_coco': False,
    'mask_r50_coco': True,
    'cascade_swin_t_coco': True,
}


def shrink(cfg: Config) -> Config:
    """Make a detector small enough for a step in a second."""
    if cfg.model.type == 'DINO':
        cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 1
        cfg.model.num_queries = 20
    else:
        cfg.model = sample_few(narrow(cfg.model))
    backbone, channels = cfg.model.backbone, [8, 16, 24, 32]
    backbone.init_cfg = None
    if 'arch' in backbone:
        backbone.arch = dict(depths=(1, 1, 1, 1), channels=tuple(channels))
    elif backbone.type == 'SwinTransformer':
        channels = [24, 48, 96, 192]
        backbone.update(embed_dims=24, depths=[1, 1, 1, 1])
    else:
        channels = [16, 32, 64, 128]
        backbone.update(depth=18, base_channels=16, stem_channels=16)
    kept = backbone.get('out_indices', (0, 1, 2, 3))
    cfg.model.neck.in_channels = [channels[i] for i in kept]
    return cfg


@pytest.mark.parametrize('name', FAMILIES)
def test_one_step_of_every_family(name):
    from mmdet.testing import demo_mm_inputs

    cfg = shrink(read(name))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()  # DINO's embeddings are uninitialised memory before
    model.train()
    optim_wrapper = build_optim_wrapper(
        model, dict(cfg.optim_wrapper, type='OptimWrapper')
    )
    data = demo_mm_inputs(
        2, (3, 128, 128), num_items=[4, 4], num_classes=80, with_mask=FAMILIES[name]
    )
    before = {k: v.clone() for k, v in model.named_parameters()}
    losses = model.train_step(data, optim_wrapper)
    assert losses['loss'].isfinite()
    trained = [k for k, v in model.named_parameters() if not torch.equal(v, before[k])]
    assert any(k.startswith('backbone.') for k in trained)
    assert any('head' in k for k in trained)
