"""Segmentation configs: what was published, and that each of them runs."""

import copy
import re
from pathlib import Path
from typing import NamedTuple

import cv2
import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from support.paths import ROOT

from convnext_backbone.backbone import layer_decay
from convnext_backbone.config.checks import check_channels
from convnext_backbone.config.parts import iter_heads
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.openmmlab.amp import resolve_optim_wrapper
from convnext_backbone.openmmlab.runner import TestRunner

CONFIGS = ROOT / 'configs/seg'
MMSEG = Path(mmseg.__file__).parent / '.mim/configs'
LEAVES = sorted(path.stem for path in CONFIGS.glob('*.py'))


class Recipe(NamedTuple):
    """One row of the published tables; what is not published is V1's."""

    arch: str
    weights: str
    result: str
    drop_path: float = 0.4
    lr: float = 1e-4
    amp: bool = True
    crop: int = 512
    iterations: int = 160_000
    v2: bool = False
    million_params: int | None = None


# arXiv 2201.03545 (V1) and 2301.00808 (V2), and the configs and README of
# semantic_segmentation in facebookresearch/ConvNeXt.
RECIPES = {
    'upernet_convnext_t_ade20k': Recipe(
        'tiny',
        'convnext_tiny_1k_224',
        '46.0 mIoU, 46.7 multi-scale (published)',
        million_params=60,
    ),
    'upernet_convnext_s_ade20k': Recipe(
        'small',
        'convnext_small_1k_224',
        '48.7 mIoU, 49.6 multi-scale (published)',
        drop_path=0.3,
        million_params=82,
    ),
    'upernet_convnext_b_ade20k': Recipe(
        'base',
        'convnext_base_1k_224',
        '49.1 mIoU, 49.9 multi-scale (published)',
        million_params=122,
    ),
    'upernet_convnext_b_in22k_640_ade20k': Recipe(
        'base',
        'convnext_base_22k_224',
        '52.6 mIoU, 53.1 multi-scale (published)',
        crop=640,
        million_params=122,
    ),
    'upernet_convnext_l_in22k_640_ade20k': Recipe(
        'large',
        'convnext_large_22k_224',
        '53.2 mIoU, 53.7 multi-scale (published)',
        amp=False,
        crop=640,
        million_params=235,
    ),
    'upernet_convnext_xl_in22k_640_ade20k': Recipe(
        'xlarge',
        'convnext_xlarge_22k_224',
        '53.6 mIoU, 54.0 multi-scale (published)',
        lr=8e-5,
        amp=False,
        crop=640,
        million_params=391,
    ),
    'upernet_convnextv2_t_ade20k': Recipe(
        'tiny', 'convnextv2_tiny_1k_224_ema', 'not published', v2=True
    ),
    'upernet_convnextv2_b_ade20k': Recipe(
        'base', 'convnextv2_base_1k_224_ema', '52.1 mIoU (published)', v2=True
    ),
    'upernet_convnextv2_l_ade20k': Recipe(
        'large',
        'convnextv2_large_1k_224_ema',
        '53.7 mIoU (published)',
        amp=False,
        v2=True,
    ),
    'upernet_convnextv2_h_ade20k': Recipe(
        'huge',
        'convnextv2_huge_1k_224_ema',
        '55.0 mIoU (published)',
        amp=False,
        v2=True,
    ),
    'mask2former_convnext_t_ade20k': Recipe(
        'tiny', 'convnext_tiny_1k_224', 'not published', amp=False
    ),
    **{
        f'fpn_convnextv2_{arch}_ade20k': Recipe(
            arch,
            f'convnextv2_{arch}_1k_224_ema',
            'not published',
            drop_path=0.1,
            iterations=80_000,
            v2=True,
        )
        for arch in ('atto', 'femto', 'pico', 'nano')
    },
}
BASELINES = {
    'upernet_swin_t_ade20k': (
        'mmseg.models.backbones.swin',
        '44.4 mIoU, 45.8 multi-scale (published)',
    ),
    'upernet_r50_ade20k': ('mmseg.models.backbones.resnet', 'not published'),
}
FROM_SCRATCH = ('upernet_convnext_atto_aerial', 'upernet_convnext_atto_demo')
MMSEGS_OWN = {
    'upernet_convnext_t_ade20k': 'convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512',
    'upernet_convnext_s_ade20k': 'convnext-small_upernet_8xb2-amp-160k_ade20k-512x512',
    'upernet_convnext_b_ade20k': 'convnext-base_upernet_8xb2-amp-160k_ade20k-512x512',
    **{
        f'upernet_convnext_{size}_in22k_640_ade20k': (
            f'convnext-{name}_upernet_8xb2-amp-160k_ade20k-640x640'
        )
        for size, name in (('b', 'base'), ('l', 'large'), ('xl', 'xlarge'))
    },
}

WIDTHS = [16, 32, 64, 128]
ARCH = dict(_delete_=True, depths=(1, 1, 1, 1), channels=WIDTHS)
CONVNEXT = dict(arch=ARCH, drop_path_rate=0.0, init_cfg=None)
SMALL_HEADS = dict(decode_head=dict(in_channels=WIDTHS, channels=16))
SMALL_HEADS['auxiliary_head'] = dict(in_channels=64, channels=16)
SHRUNK = {
    'upernet_convnext_t_ade20k': dict(backbone=CONVNEXT, **SMALL_HEADS),
    'upernet_convnextv2_t_ade20k': dict(backbone=CONVNEXT, **SMALL_HEADS),
    'fpn_convnextv2_atto_ade20k': dict(
        backbone=CONVNEXT,
        neck=dict(in_channels=WIDTHS, out_channels=16),
        decode_head=dict(in_channels=[16] * 4, channels=16),
    ),
    'mask2former_convnext_t_ade20k': dict(
        backbone=CONVNEXT,
        decode_head=dict(
            in_channels=WIDTHS,
            num_queries=10,
            pixel_decoder=dict(encoder=dict(num_layers=1)),
            transformer_decoder=dict(num_layers=3),  # one for each level of features
            train_cfg=dict(num_points=256),
        ),
    ),
    'upernet_swin_t_ade20k': dict(
        backbone=dict(
            embed_dims=16,
            depths=[1] * 4,
            num_heads=[1, 2, 4, 8],
            drop_path_rate=0.0,
            init_cfg=None,
        ),
        **SMALL_HEADS,
    ),
    'upernet_r50_ade20k': dict(
        backbone=dict(depth=18, base_channels=16, stem_channels=16, init_cfg=None),
        **SMALL_HEADS,
    ),
}


@pytest.fixture(params=LEAVES)
def leaf(request) -> str:
    return request.param


@pytest.fixture(params=RECIPES)
def name(request) -> str:
    return request.param


def load(name: str) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope(cfg.default_scope)
    return cfg


def load_mmsegs(path: str) -> Config:
    if not (MMSEG / path).is_file():
        pytest.skip('mmseg was installed without its configs')
    return Config.fromfile(MMSEG / path, import_custom_modules=False)


def load_shrunk(name: str) -> Config:
    cfg = load(name)
    cfg.merge_from_dict(copy.deepcopy(dict(model=SHRUNK[name])))
    cfg.model.data_preprocessor.size = (64, 64)
    return cfg


def build_on_meta(model: dict) -> torch.nn.Module:
    with torch.device('meta'):
        return MODELS.build(model)


def test_every_leaf_is_known():
    assert set(LEAVES) == {*RECIPES, *BASELINES, *FROM_SCRATCH}


def test_leaf_is_short_and_says_what_it_is(leaf):
    lines = (CONFIGS / f'{leaf}.py').read_text().splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith('"""')


def test_docstring_has_result_gpus_and_weights(name):
    recipe = RECIPES[name]
    docstring = (CONFIGS / f'{name}.py').read_text().split('"""')[1]
    assert docstring.splitlines()[0].endswith(f': {recipe.result}.')
    precision = 'AMP' if recipe.amp else 'fp32'
    suffix = 'pt' if recipe.v2 else 'pth'
    assert f'8 GPUs x 2 images, {precision}, backbone from ' in docstring
    assert f' {recipe.weights}.{suffix}' in docstring


def test_hyperparameters_are_the_published_ones(name):
    cfg, recipe = load(name), RECIPES[name]
    backbone, optim = cfg.model.backbone, cfg.optim_wrapper
    assert backbone.arch == recipe.arch
    assert backbone.drop_path_rate == recipe.drop_path
    assert backbone.get('use_grn', False) == recipe.v2
    assert backbone.layer_scale_init_value == (0.0 if recipe.v2 else 1.0)
    assert backbone.init_cfg == dict(
        type='convnext_backbone.Checkpoint', source=f'meta://{recipe.weights}'
    )
    assert optim.type == ('AmpOptimWrapper' if recipe.amp else 'OptimWrapper')
    assert optim.optimizer == dict(
        type='AdamW', lr=recipe.lr, betas=(0.9, 0.999), weight_decay=0.05
    )
    assert optim.paramwise_cfg.decay_rate == 0.9
    assert optim.paramwise_cfg.decay_type == 'stage_wise'
    assert cfg.train_cfg.max_iters == recipe.iterations
    assert cfg.param_scheduler[-1].end == recipe.iterations
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.base_batch_size == 16


def test_crops_are_the_published_ones(name):
    cfg, crop = load(name), RECIPES[name].crop
    train, test = (
        {step.type: step for step in cfg[f'{split}_dataloader'].dataset.pipeline}
        for split in ('train', 'test')
    )
    assert train['RandomCrop'].crop_size == (crop, crop)
    assert cfg.model.data_preprocessor['size'] == (crop, crop)
    assert test['Resize'].scale == (4 * crop, crop)
    if 'mask2former' in name:
        assert cfg.model.test_cfg == dict(mode='whole')
    else:
        assert train['RandomResize'].scale == (4 * crop, crop)
        stride = {512: 341, 640: 426}[crop]
        assert cfg.model.test_cfg == dict(
            mode='slide', crop_size=(crop, crop), stride=(stride, stride)
        )


@pytest.mark.parametrize('name', [n for n in RECIPES if 'mask2former' not in n])
def test_schedule_warms_up_and_falls_to_zero(name):
    cfg = load(name)
    assert 'clip_grad' not in cfg.optim_wrapper
    warmup, poly = cfg.param_scheduler
    assert (warmup.begin, warmup.end, warmup.start_factor) == (0, 1500, 1e-6)
    assert (poly.begin, poly.power, poly.eta_min) == (1500, 1.0, 0.0)
    assert not warmup.by_epoch
    assert not poly.by_epoch


def test_model_builds_with_150_classes_on_our_backbone(name):
    cfg, recipe = load(name), RECIPES[name]
    check_channels(cfg)
    assert {head['num_classes'] for _, head in iter_heads(cfg.model)} == {150}
    model = build_on_meta(cfg.model)
    assert type(model.backbone).__module__ == 'convnext_backbone.backbone.convnext'
    assert model.decode_head.num_classes == 150
    if recipe.million_params:
        count = sum(p.numel() for p in model.parameters())
        assert round(count / 1e6) == recipe.million_params


def test_stem_and_heads_learn_at_the_ends_of_the_decay(name):
    cfg, recipe = load(name), RECIPES[name]
    model = build_on_meta(cfg.model)
    optimizer = build_optim_wrapper(
        model, dict(cfg.optim_wrapper, type='OptimWrapper')
    ).optimizer
    lr = {id(p): g['lr'] for g in optimizer.param_groups for p in g['params']}
    layers = layer_decay.num_layers(model.backbone.depths)
    published = {'tiny': 6, 'atto': 5, 'femto': 5, 'pico': 5, 'nano': 6}
    assert layers == published.get(recipe.arch, 12)
    stem = model.backbone.downsample_layers[0][0].weight
    assert lr[id(stem)] == pytest.approx(recipe.lr * 0.9 ** (layers + 1))
    assert {lr[id(p)] for p in model.decode_head.parameters()} == {recipe.lr}


@pytest.mark.parametrize('name', MMSEGS_OWN)
def test_upernet_equals_mmsegs_but_for_the_backbone(name):
    mine = load(name)
    reference = load_mmsegs(f'convnext/{MMSEGS_OWN[name]}.py')
    reference.model.pop('pretrained')
    backbones = [cfg.model.pop('backbone') for cfg in (mine, reference)]
    for key in ('arch', 'drop_path_rate', 'layer_scale_init_value'):
        assert backbones[0][key] == backbones[1][key]
    assert mine.model.to_dict() == reference.model.to_dict()
    assert mine.param_scheduler == reference.param_scheduler
    assert mine.train_cfg == reference.train_cfg
    assert mine.optim_wrapper.optimizer == reference.optim_wrapper.optimizer
    for split in ('train', 'val', 'test'):
        key = f'{split}_dataloader'
        assert mine[key].batch_size == reference[key].batch_size
        assert mine[key].dataset.pipeline == reference[key].dataset.pipeline


def test_mask2former_equals_mmsegs_but_for_the_backbone():
    mine = load('mask2former_convnext_t_ade20k')
    reference = load_mmsegs('mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py')
    reference.model.decode_head.in_channels = mine.model.decode_head.in_channels
    for key in ('data_preprocessor', 'test_cfg'):
        assert mine.model[key] == reference.model[key]
    heads = [build_on_meta(cfg.model).decode_head for cfg in (mine, reference)]
    drops_nothing = re.compile(r'Dropout\(p=0\.0, inplace=False\)')
    texts = [drops_nothing.sub('Identity()', repr(head)) for head in heads]
    assert texts[0] == texts[1]
    for key in ('train_cfg', 'loss_cls', 'loss_mask', 'loss_dice'):
        assert mine.model.decode_head[key] == reference.model.decode_head[key]
    pipelines = (c.train_dataloader.dataset.pipeline for c in (mine, reference))
    assert next(pipelines) == next(pipelines)
    assert mine.param_scheduler == reference.param_scheduler
    ours, theirs = mine.optim_wrapper, reference.optim_wrapper
    assert ours.clip_grad == theirs.clip_grad
    assert dict(ours.optimizer, eps=1e-8) == theirs.optimizer
    for key, options in ours.paramwise_cfg.custom_keys.items():
        assert options.decay_mult == theirs.paramwise_cfg.custom_keys[key].decay_mult


def test_mask2formers_embeddings_have_no_weight_decay():
    cfg = load('mask2former_convnext_t_ade20k')
    model = build_on_meta(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {id(p): g['weight_decay'] for g in groups for p in g['params']}
    head = model.decode_head
    for embedding in (head.query_embed, head.query_feat, head.level_embed):
        assert decay[id(embedding.weight)] == 0.0
    assert decay[id(head.cls_embed.weight)] == 0.05


@pytest.mark.parametrize('name', BASELINES)
def test_baselines_differ_by_backbone_and_decay_only(name):
    module, result = BASELINES[name]
    mine, convnext = load(name), load('upernet_convnext_t_ade20k')
    docstring = (CONFIGS / f'{name}.py').read_text().split('"""')[1]
    assert docstring.splitlines()[0].endswith(f': {result}.')
    for key in ('param_scheduler', 'train_cfg', 'train_dataloader', 'tta_pipeline'):
        assert mine[key] == convnext[key]
    assert mine.optim_wrapper.type == convnext.optim_wrapper.type
    assert mine.optim_wrapper.constructor == 'DefaultOptimWrapperConstructor'
    assert mine.model.test_cfg == convnext.model.test_cfg
    model = MODELS.build(mine.model)
    assert type(model.backbone).__module__ == module
    with torch.no_grad():
        maps = model.backbone(torch.zeros(1, 3, 64, 64))
    assert [m.shape[1] for m in maps] == list(model.decode_head.in_channels)
    assert maps[2].shape[1] == model.auxiliary_head.in_channels
    assert {head['num_classes'] for _, head in iter_heads(mine.model)} == {150}


def test_swin_has_its_published_recipe():
    mine = load('upernet_swin_t_ade20k')
    reference = load_mmsegs(
        'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
    )
    backbone, theirs = mine.model.backbone, reference.model.backbone
    assert backbone.items() <= theirs.items()
    assert mine.optim_wrapper.optimizer == reference.optim_wrapper.optimizer
    model = MODELS.build(mine.model)
    wrapper = build_optim_wrapper(model, resolve_optim_wrapper(mine.optim_wrapper))
    groups = wrapper.optimizer.param_groups
    decay = {id(p): g['weight_decay'] for g in groups for p in g['params']}
    for key, parameter in model.backbone.named_parameters():
        exempt = 'norm' in key or 'relative_position_bias_table' in key
        assert decay[id(parameter)] == (0.0 if exempt else 0.01), key


def test_resnets_norms_have_no_weight_decay():
    cfg = load('upernet_r50_ade20k')
    model = build_on_meta(cfg.model)
    assert model.backbone.depth == 50
    assert not model.backbone.deep_stem
    groups = build_optim_wrapper(
        model, dict(cfg.optim_wrapper, type='OptimWrapper')
    ).optimizer.param_groups
    decay = {id(p): g['weight_decay'] for g in groups for p in g['params']}
    assert decay[id(model.backbone.bn1.weight)] == 0.0
    assert decay[id(model.backbone.conv1.weight)] == 0.05


@pytest.mark.parametrize('name', SHRUNK)
def test_family_learns_from_one_step(name):
    cfg = load_shrunk(name)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    samples = []
    for _ in range(2):
        label = torch.randint(0, 150, (1, 8, 8)).repeat_interleave(8, 1)
        sample = SegDataSample(metainfo=dict(img_shape=(64, 64)))
        sample.gt_sem_seg = PixelData(data=label.repeat_interleave(8, 2))
        samples.append(sample)
    images = list(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    wrapper = build_optim_wrapper(model, resolve_optim_wrapper(cfg.optim_wrapper))
    before = copy.deepcopy(model.state_dict())
    losses = model.train_step(dict(inputs=images, data_samples=samples), wrapper)
    assert losses['loss'].isfinite()
    assert not [n for n, p in model.named_parameters() if p.equal(before[n])]


def test_multi_scale_test_has_the_plain_tests_scale_and_data(leaf):
    cfg = load(leaf)
    assert cfg.tta_model == dict(type='SegTTAModel')
    plain = cfg.test_dataloader.dataset.pipeline
    load_image, augment = cfg.tta_pipeline
    resizes, flips, annotations, pack = augment.transforms
    assert [load_image, *annotations, *pack] == [s for s in plain if s.type != 'Resize']
    assert [flip.prob for flip in flips] == [0.0, 1.0]
    ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    own = [step for step in plain if step.type == 'Resize']
    if own:
        scales = [tuple(int(side * r) for side in own[0].scale) for r in ratios]
        assert resizes == [dict(own[0], scale=scale) for scale in scales]
    else:
        assert [resize.scale_factor for resize in resizes] == list(ratios)


@pytest.mark.parametrize(
    'name', ['upernet_convnext_b_in22k_640_ade20k', 'upernet_convnext_atto_demo']
)
def test_ratio_one_of_the_multi_scale_test_is_the_plain_test(name, tmp_path):
    cfg = load(name)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    results = write_sample(tmp_path, image)
    plain = Compose(cfg.test_dataloader.dataset.pipeline)(copy.deepcopy(results))
    augmented = Compose(cfg.tta_pipeline)(results)
    assert len(augmented['inputs']) == 12
    assert augmented['inputs'][4].equal(plain['inputs'])
    assert augmented['inputs'][5].equal(plain['inputs'].flip(-1))
    for sample in augmented['data_samples']:
        assert sample.gt_sem_seg.data.equal(plain['data_samples'].gt_sem_seg.data)


def write_sample(folder: Path, image: np.ndarray) -> dict:
    """Write an image and labels of 0 to 3; what a data set gives a pipeline."""
    height, width = image.shape[:2]
    labels = np.arange(height * width, dtype=np.uint8).reshape(height, width) % 4
    cv2.imwrite(str(folder / 'image.png'), image)
    cv2.imwrite(str(folder / 'labels.png'), labels)
    return dict(
        img_path=str(folder / 'image.png'),
        seg_map_path=str(folder / 'labels.png'),
        reduce_zero_label=True,
        seg_fields=[],
    )


@pytest.mark.parametrize('name', SHRUNK)
def test_family_predicts_in_the_multi_scale_test(name, tmp_path):
    cfg = load_shrunk(name)
    image = np.random.default_rng(0).integers(0, 256, (40, 61, 3), np.uint8)
    data = pseudo_collate([Compose(cfg.tta_pipeline)(write_sample(tmp_path, image))])
    data = {key: value[:2] for key, value in data.items()}  # 256 pixels, and flipped
    model = MODELS.build(dict(cfg.tta_model, module=cfg.model)).eval()
    with torch.no_grad():
        (merged,) = model.test_step(data)
    assert merged.pred_sem_seg.data.shape == (1, 40, 61)
    assert merged.gt_sem_seg.data.shape == (1, 40, 61)


def test_flipped_halves_agree_on_a_symmetric_image(tmp_path):
    cfg = load('upernet_convnext_atto_demo')
    half = np.random.default_rng(0).integers(0, 256, (96, 48, 3), np.uint8)
    half = cv2.GaussianBlur(half, (0, 0), 4)
    half = cv2.normalize(half, None, 0, 255, cv2.NORM_MINMAX)
    image = np.concatenate([half, half[:, ::-1]], axis=1)
    data = pseudo_collate([Compose(cfg.tta_pipeline)(write_sample(tmp_path, image))])
    torch.manual_seed(3)  # random weights that predict several classes
    model = MODELS.build(dict(cfg.tta_model, module=cfg.model)).eval()
    model.module.init_weights()
    with torch.no_grad():
        (merged,) = model.test_step(copy.deepcopy(data))
        one = {key: value[4] for key, value in data.items()}
        (plain,) = model.module.test_step(one)
    label, alone = merged.pred_sem_seg.data, plain.pred_sem_seg.data
    assert label.shape == (1, 96, 96)
    assert len(label.unique()) > 1
    assert not alone.equal(alone.flip(-1))
    assert (label == label.flip(-1)).float().mean() > 0.999


def test_multi_scale_test_runs_and_measures(tmp_path):
    make_demo_data(tmp_path / 'data', train=1, val=2, size=96)
    cfg = load('upernet_convnext_atto_demo')
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'data')
    cfg.test_dataloader.merge(dict(num_workers=0, persistent_workers=False))
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.work_dir = str(tmp_path / 'work')
    metrics = TestRunner.from_cfg(cfg).test()
    assert 0 <= metrics['mIoU'] <= 100
