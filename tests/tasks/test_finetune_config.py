from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import CheckpointRef, Stated
from convnext_backbone.checkpoints.stated.values import IMAGENET
from convnext_backbone.config.checks import check_channels
from convnext_backbone.config.names import SCOPE, configs_dir
from convnext_backbone.config.parts import iter_heads
from convnext_backbone.datasets.cache import Converted
from convnext_backbone.tasks.finetune.config_text import write_config
from convnext_backbone.tasks.finetune.default_weights import (
    WHOLE_MODELS,
    default_weights,
)
from convnext_backbone.tasks.finetune.plan import Plan
from convnext_backbone.tasks.finetune.recipe import decide
from convnext_backbone.tasks.finetune.run import what_is_stated
from convnext_backbone.tasks.initial_weights import InitialWeights

LEAVES = sorted(
    str(path.relative_to(configs_dir()).with_suffix(''))
    for path in configs_dir().glob('*/*.py')
)
SEG, FCOS = 'seg/upernet_convnext_atto_demo', 'det/fcos_convnext_t_coco'
NOTHING = Stated()
CLASSES = ('sea lion', "captain's hat", '日')


def numbers(task='det', images=300, masks=True, width=640, height=480, small=1):
    split = {'images': images + 7, 'empty': 7}  # mmdet leaves out empty ones
    split = split if task == 'det' else {'images': images, 'empty': 0}
    return {
        'task': task,
        'classes': list(CLASSES),
        'splits': {'train': split, 'val': {'images': 50}},
        'image_size': {'width': [0, 0, width, 0, 0], 'height': [0, 0, height, 0, 0]},
        'areas': {'small': small, 'medium': 2, 'large': 2},
        'masks': masks,
        'palette': None,
    }


def make_config(
    tmp_path, base, scratch=False, epochs=None, iters=None, stated=NOTHING, **kwargs
):
    cfg = Config.fromfile(configs_dir() / f'{base}.py')
    task = 'det' if base.startswith('det') else 'seg'
    counts = numbers(task, **kwargs)
    data = Converted(Path('/cache'), Path('/my data'), counts, news=True)
    recipe = decide(cfg, counts, pretrained=not scratch, epochs=epochs, iters=iters)
    weights = None if scratch else default_weights(cfg)
    name = f'{SCOPE}{base}.py'
    plan = Plan(name, cfg, data, recipe, weights, tmp_path, 'convnext-backbone', stated)
    file = tmp_path / 'config.py'
    file.write_text(write_config(plan), encoding='utf-8')
    return Config.fromfile(file)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return {base: make_config(tmp_path_factory.mktemp('cfg'), base) for base in LEAVES}


@pytest.mark.parametrize('base', LEAVES)
def test_every_head_has_the_classes(made, base):
    cfg = made[base]
    heads = dict(iter_heads(cfg.model))
    assert heads
    assert {head['num_classes'] for head in heads.values()} == {3}
    assert cfg.train_dataloader.dataset.metainfo.classes == CLASSES
    assert '_delete_' not in repr(cfg.to_dict())


@pytest.mark.parametrize('base', LEAVES)
def test_the_rest_of_the_model_is_the_base(made, base):
    cfg, old = made[base], Config.fromfile(configs_dir() / f'{base}.py')
    check_channels(cfg)
    assert cfg.model.type == old.model.type
    assert dict(iter_heads(cfg.model)).keys() == dict(iter_heads(old.model)).keys()


@pytest.mark.parametrize('base', LEAVES)
def test_every_path_is_of_the_users_data(made, base):
    cfg = made[base]
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == '/cache/'
        assert '/my data/' in dataset.data_prefix.values()
    for old in ('data/coco', 'data/ADEChallenge'):
        loaders = [cfg[f'{split}_dataloader'] for split in ('train', 'val', 'test')]
        assert old not in repr([loaders, cfg.val_evaluator, cfg.test_evaluator])


def test_published_detectors_start_from_their_own_heads(made):
    cfg = made['det/cascade_convnext_t_coco']
    assert cfg.load_from == 'meta://coco/cascade_mask_rcnn_convnext_tiny_1k_3x'


def test_every_whole_model_is_published_and_has_a_config():
    from convnext_backbone.checkpoints.published import FILES

    assert set(WHOLE_MODELS.values()) <= FILES.keys()
    assert set(WHOLE_MODELS) <= {Path(leaf).name for leaf in LEAVES}


def test_other_sizes_start_from_imagenet(made):
    v2 = made['det/mask_convnextv2_nano_coco'].model.backbone.init_cfg
    assert v2.source.startswith('meta://convnextv2_nano')
    atto = made['det/mask_convnext_atto_nuclei']
    assert atto.model.backbone.init_cfg.source == 'timm://convnext_atto'
    assert 'LayerDecay' in atto.optim_wrapper.constructor
    assert 'norm_decay_mult' not in atto.optim_wrapper.paramwise_cfg


def test_from_scratch_has_no_weights_and_no_decay(tmp_path):
    cfg = make_config(tmp_path, 'det/cascade_convnext_t_coco', scratch=True)
    assert cfg.load_from is None
    assert cfg.model.backbone.init_cfg is None
    assert cfg.optim_wrapper.paramwise_cfg.decay_rate == 1.0
    small = make_config(tmp_path, 'det/mask_convnext_atto_nuclei', scratch=True)
    assert small.model.backbone.init_cfg.type == 'Kaiming'


@pytest.mark.parametrize(
    ('base', 'model'),
    [
        ('det/cascade_convnext_t_coco', 'CascadeRCNN'),
        ('det/mask_convnext_atto_nuclei', 'FasterRCNN'),
    ],
)
def test_boxes_only(tmp_path, base, model):
    cfg = make_config(tmp_path, base, masks=False)
    assert cfg.model.type == model
    assert cfg.model.roi_head.mask_head is None
    assert cfg.val_evaluator.metric == 'bbox'
    assert cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert "'with_mask': True" not in repr(cfg.train_dataloader.to_dict())
    init_default_scope('mmdet')
    from mmdet.registry import MODELS

    assert not MODELS.build(cfg.model).with_mask


def test_masks_are_left_out_by_a_base_without(tmp_path):
    cfg = make_config(tmp_path, 'det/faster_convnext_t_coco', masks=True)
    assert cfg.val_evaluator.metric == 'bbox'
    assert not cfg.train_dataloader.dataset.pipeline[1].with_mask


def test_length_follows_the_data(tmp_path):
    def epochs(images, **kwargs):
        base = 'det/cascade_convnext_t_coco'
        return make_config(tmp_path, base, images=images, **kwargs)

    assert epochs(50).train_cfg.max_epochs == 72
    assert epochs(200).train_cfg.max_epochs == 20
    long = epochs(100000)
    assert long.train_cfg.max_epochs == 12
    warm_up, steps = long.param_scheduler
    assert (steps.end, steps.milestones) == (12, [9, 11])
    assert warm_up.end == 1000
    assert epochs(50, epochs=3).param_scheduler[0].end == 7  # of 75 iterations
    assert epochs(50, epochs=3).train_cfg.max_epochs == 3
    assert epochs(50, iters=60).train_cfg.max_epochs == 3


def test_iterations_follow_the_data(tmp_path):
    base = 'seg/upernet_convnext_t_ade20k'
    cfg = make_config(tmp_path, base, images=54)
    assert cfg.train_cfg.max_iters == 27 * 156
    assert cfg.param_scheduler[0].end == 421
    assert cfg.param_scheduler[1].end == 27 * 156
    assert make_config(tmp_path, base, iters=77).train_cfg.max_iters == 77
    assert make_config(tmp_path, base, epochs=2).train_cfg.max_iters == 300


def test_learning_rate_follows_the_batch(made):
    assert made['det/cascade_convnext_t_coco'].auto_scale_lr.enable
    assert made['seg/upernet_convnext_t_ade20k'].auto_scale_lr.enable


def test_image_size_follows_the_data_within_limits(tmp_path):
    base = 'det/cascade_convnext_t_coco'
    small = make_config(tmp_path, base, width=300, height=500)
    assert small.image_scale == (500, 300)
    assert make_config(tmp_path, base, width=4000, height=3000).image_scale == (
        1067,
        800,
    )


def test_crops_of_segmentors_are_no_larger_than_the_images(tmp_path):
    cfg = make_config(tmp_path, 'seg/upernet_convnext_t_ade20k', width=500, height=300)
    assert cfg.model.data_preprocessor.size == (288, 288)
    assert cfg.model.test_cfg.crop_size == (288, 288)
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (288, 288)


def test_little_data_freezes_and_varies_more(tmp_path):
    base = 'det/cascade_convnext_t_coco'
    tiny, small, large = (
        make_config(tmp_path, base, images=images) for images in (50, 500, 5000)
    )
    assert tiny.model.backbone.frozen_stages == 2
    assert 'frozen_stages' not in small.model.backbone
    steps = [
        {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
        for cfg in (tiny, small, large)
    ]
    jitter = [step['RandomResize'].ratio_range for step in steps]
    assert jitter == [(0.5, 2.0), (0.75, 1.33), (0.8, 1.25)]
    assert ['PhotoMetricDistortion' in step for step in steps] == [True, False, False]


def test_scratch_freezes_nothing(tmp_path):
    base = 'det/cascade_convnext_t_coco'
    cfg = make_config(tmp_path, base, images=50, scratch=True)
    assert 'frozen_stages' not in cfg.model.backbone


def test_small_objects_get_small_anchors(tmp_path):
    base = 'det/cascade_convnext_t_coco'
    assert make_config(
        tmp_path, base, small=9
    ).model.rpn_head.anchor_generator.scales == [4]
    assert make_config(
        tmp_path, base, small=1
    ).model.rpn_head.anchor_generator.scales == [8]


@pytest.mark.parametrize('base', ['det/mask_convnext_atto_nuclei', SEG, FCOS])
@pytest.mark.parametrize(
    'mean', [(127.5, 127.5, 127.5), (122.7709, 116.746, 104.0937), (0.0, 0.0, 0.0)]
)
def test_what_the_weights_state_is_written(tmp_path, base, mean):
    stated = Stated('gelu_tanh', 1e-5, mean, (68.5, 66.6, 70.3), 'config.json')
    cfg = make_config(tmp_path, base, stated=stated, masks=False)
    old = Config.fromfile(configs_dir() / f'{base}.py')
    assert (cfg.model.backbone.act, cfg.model.backbone.norm_eps) == ('gelu_tanh', 1e-5)
    assert tuple(cfg.model.data_preprocessor.mean) == mean
    assert tuple(cfg.model.data_preprocessor.std) == (68.5, 66.6, 70.3)
    for key in ('type', 'bgr_to_rgb'):
        assert cfg.model.data_preprocessor[key] == old.model.data_preprocessor[key]


@pytest.mark.parametrize(
    'stated',
    [
        NOTHING,
        Stated('gelu', 1e-6, IMAGENET.mean, IMAGENET.std, 'x'),
        Stated(mean=(1.0,), std=(2.0,), origin='x'),  # of grey images
        Stated('mish', origin='x'),  # which loading refuses
    ],
)
def test_what_the_base_has_already_is_not_written(tmp_path, made, stated):
    cfg = make_config(tmp_path, SEG, stated=stated)
    assert cfg.model.to_dict() == made[SEG].model.to_dict()


def test_what_is_stated_is_looked_up_where_the_backbone_is_ours(tmp_path):
    ours = Config.fromfile(configs_dir() / f'{SEG}.py')
    swin = Config.fromfile(configs_dir() / 'det/mask_swin_t_coco.py')
    name = CheckpointRef.parse('timm://convnext_xxlarge.clip_laion2b_rewind')
    weights = InitialWeights('model', name)
    assert what_is_stated(weights, ours, fetched=False).norm_eps == 1e-5
    assert what_is_stated(weights, swin, fetched=False) == NOTHING
    assert what_is_stated(None, ours, fetched=True) == NOTHING
    state = ConvNeXt('atto', act='relu').state_dict()
    cfg = "model = dict(backbone=dict(type='ConvNeXt', act='relu'))"
    torch.save({'state_dict': state, 'meta': {'cfg': cfg}}, tmp_path / 'a.pth')
    local = InitialWeights('model', CheckpointRef.parse(tmp_path / 'a.pth'))
    for fetched in (False, True):
        assert what_is_stated(local, ours, fetched).act == 'relu'
