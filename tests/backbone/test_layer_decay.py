"""Layer decay against the published tables and against mmdet's and mmseg's code."""

import copy
import importlib
import itertools
import logging
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import (
    DefaultOptimWrapperConstructor,
    LinearLR,
    MultiStepLR,
    OptimWrapper,
    PolyLR,
    build_optim_wrapper,
)
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_CONSTRUCTORS
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.backbone.layer_decay import (
    block_id,
    layer_id,
    num_layers,
    stage_id,
)
from convnext_backbone.backbone.optim_constructor import (
    LayerDecayOptimWrapperConstructor,
)
from convnext_backbone.registry import OPTIM_WRAPPER_CONSTRUCTORS

NAME = 'LayerDecayOptimWrapperConstructor'
TINY = (3, 3, 9, 3)
BASE = (3, 3, 27, 3)
BASE_LR = 3e-4
WEIGHT_DECAY = 0.05


class Detector(nn.Module):
    """A backbone and heads of which some are named like parts of a backbone."""

    def __init__(self, depths=TINY, use_grn=False, **kwargs):
        super().__init__()
        self.backbone = backbone(depths, use_grn=use_grn, **kwargs)
        self.neck = nn.ModuleDict(
            dict(conv=nn.Conv2d(8, 4, 1), norm=nn.GroupNorm(2, 4))
        )
        head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.decode_head = nn.ModuleDict(
            dict(stages=nn.ModuleList([head]), downsample_layers=nn.Linear(2, 2))
        )
        self.pos_embed = nn.Parameter(torch.zeros(1, 2, 3))


def backbone(depths=TINY, **kwargs):
    channels = tuple(4 * 2**i for i in range(len(depths)))
    kwargs.setdefault('out_indices', range(len(depths)))
    return ConvNeXt(arch=dict(depths=depths, channels=channels), **kwargs)


def construct(model, wrapper='OptimWrapper', lr=BASE_LR, **paramwise_cfg):
    paramwise_cfg.setdefault('decay_rate', 0.7)
    optimizer = dict(type='AdamW', lr=lr, weight_decay=WEIGHT_DECAY)
    cfg = dict(type=wrapper, optimizer=optimizer)
    return LayerDecayOptimWrapperConstructor(cfg, paramwise_cfg)(model)


def by_name(model, optim_wrapper, *keys):
    """Map each trainable parameter's name to the options of its only group."""
    groups = {}
    for group in optim_wrapper.optimizer.param_groups:
        for param in group['params']:
            assert id(param) not in groups, 'a parameter in two groups'
            groups[id(param)] = tuple(group[key] for key in keys)
    found = {n: groups.pop(id(p), None) for n, p in model.named_parameters()}
    assert not groups, 'a group holds what is no parameter of the model'
    return {name: options for name, options in found.items() if options is not None}


@contextmanager
def captured_log():
    """Collect the records that reach the handlers of mmengine's current logger."""
    records = []
    handler = logging.Handler(logging.INFO)
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


# Golden tables: learning rates at base lr 1 and decay 2, 2 ** (n + 1 - id), with the
# ids of the published recipes (n = 6 for T, 12 for B).
GOLDEN = {
    ('layer_wise', TINY): {
        'downsample_layers.0': 128,
        'stages.0.0': 64,
        'stages.0.2': 64,
        'downsample_layers.1': 32,
        'stages.1.0': 32,
        'stages.1.2': 32,
        'downsample_layers.2': 16,
        'stages.2.0': 16,
        'stages.2.1': 16,
        'stages.2.2': 16,
        'stages.2.3': 8,
        'stages.2.4': 8,
        'stages.2.5': 8,
        'stages.2.6': 4,
        'stages.2.7': 4,
        'stages.2.8': 4,
        'downsample_layers.3': 2,
        'stages.3.0': 2,
        'stages.3.2': 2,
        'norm0': 1,
        'norm3': 1,
    },
    ('layer_wise', BASE): {
        'downsample_layers.0': 8192,
        'stages.0.0': 4096,
        'stages.0.2': 4096,
        'downsample_layers.1': 2048,
        'stages.1.1': 2048,
        'downsample_layers.2': 1024,
        **{f'stages.2.{j}': 1024 for j in (0, 1, 2)},
        **{f'stages.2.{j}': 512 for j in (3, 4, 5)},
        **{f'stages.2.{j}': 256 for j in (6, 7, 8)},
        **{f'stages.2.{j}': 128 for j in (9, 10, 11)},
        **{f'stages.2.{j}': 64 for j in (12, 13, 14)},
        **{f'stages.2.{j}': 32 for j in (15, 16, 17)},
        **{f'stages.2.{j}': 16 for j in (18, 19, 20)},
        **{f'stages.2.{j}': 8 for j in (21, 22, 23)},
        **{f'stages.2.{j}': 4 for j in (24, 25, 26)},
        'downsample_layers.3': 2,
        'stages.3.0': 2,
        'stages.3.2': 2,
        'norm1': 1,
    },
    ('stage_wise', TINY): {
        **{f'downsample_layers.{i}': 128 for i in range(4)},
        'stages.0.0': 64,
        'stages.1.2': 32,
        'stages.2.0': 16,
        'stages.2.8': 16,
        'stages.3.1': 8,
        'norm2': 1,
    },
    ('stage_wise', BASE): {
        **{f'downsample_layers.{i}': 8192 for i in range(4)},
        'stages.0.0': 4096,
        'stages.1.2': 2048,
        'stages.2.0': 1024,
        'stages.2.26': 1024,
        'stages.3.1': 512,
        'norm2': 1,
    },
    ('block_wise', TINY): {
        'downsample_layers.0': 2**19,
        'stages.0.0': 2**18,
        'stages.0.2': 2**16,
        'downsample_layers.1': 2**15,
        'stages.1.0': 2**15,
        'downsample_layers.2': 2**12,
        'stages.2.0': 2**12,
        'stages.2.8': 2**4,
        'downsample_layers.3': 2**3,
        'stages.3.0': 2**3,
        'stages.3.2': 2,
        'norm3': 1,
    },
    ('block_wise', BASE): {
        'downsample_layers.0': 2**37,
        'stages.0.0': 2**36,
        'stages.2.0': 2**30,
        'stages.2.26': 2**4,
        'stages.3.2': 2,
        'norm0': 1,
    },
}


@pytest.mark.parametrize(('decay_type', 'depths'), GOLDEN)
def test_golden_learning_rates(decay_type, depths):
    model = Detector(depths)
    wrapper = construct(model, lr=1, decay_rate=2, decay_type=decay_type)
    lrs = by_name(model, wrapper, 'lr')
    assert len(lrs) == len(list(model.parameters()))
    golden = GOLDEN[decay_type, depths]
    for part, lr in golden.items():
        inside = {lrs[name] for name in lrs if name.startswith(f'backbone.{part}.')}
        assert inside == {(lr,)}, part
    outside = {lrs[name] for name in lrs if not name.startswith('backbone.')}
    assert outside == {(1,)}


@pytest.mark.parametrize(
    ('depths', 'rate', 'name', 'scale'),
    [
        (TINY, 0.7, 'downsample_layers.0.0.weight', '0.0824'),
        (TINY, 0.7, 'stages.3.1.gamma', '0.7000'),
        (BASE, 0.7, 'downsample_layers.0.0.weight', '0.0097'),
        (BASE, 0.8, 'downsample_layers.0.0.weight', '0.0550'),
    ],
)
def test_published_layer_wise_scales(depths, rate, name, scale):
    model = Detector(depths)
    scales = by_name(model, construct(model, decay_rate=rate), 'lr_scale')
    assert f'{scales[f"backbone.{name}"][0]:.4f}' == scale


@pytest.mark.parametrize(
    ('depths', 'scales'),
    [
        (TINY, ['0.478', '0.531', '0.590', '0.656', '0.729']),
        (BASE, ['0.254', '0.282', '0.314', '0.349', '0.387']),
    ],
)
def test_published_stage_wise_scales(depths, scales):
    model = Detector(depths)
    wrapper = construct(model, decay_rate=0.9, decay_type='stage_wise')
    found = by_name(model, wrapper, 'lr_scale')
    for i in range(4):
        down = next(n for n in found if f'backbone.downsample_layers.{i}.' in n)
        assert f'{found[down][0]:.3f}' == scales[0]
        assert f'{found[f"backbone.stages.{i}.0.gamma"][0]:.3f}' == scales[i + 1]


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
@pytest.mark.parametrize(('depths', 'published_n'), [(TINY, 6), (BASE, 12)])
@pytest.mark.parametrize('use_grn', [False, True], ids=['v1', 'v2'])
def test_equals_the_toolboxes_constructors(
    toolbox, decay_type, depths, published_n, use_grn
):
    optimizers = importlib.import_module(f'{toolbox}.engine.optimizers')
    reference = optimizers.LearningRateDecayOptimizerConstructor
    model = Detector(depths, use_grn=use_grn)
    model.backbone.stages[1][0].requires_grad_(False)
    cfg = dict(optimizer=dict(type='AdamW', lr=BASE_LR, weight_decay=WEIGHT_DECAY))
    paramwise_cfg = dict(decay_rate=0.7, decay_type=decay_type, num_layers=published_n)
    keys = ('lr', 'weight_decay', 'lr_scale')
    theirs = by_name(model, reference(cfg, dict(paramwise_cfg))(model), *keys)
    ours = by_name(model, construct(model, **paramwise_cfg), *keys)

    assert ours.keys() == theirs.keys()
    grn = {name for name in ours if '.grn.' in name}
    assert len(grn) == (2 * (sum(depths) - 1) if use_grn else 0)
    for name in ours:
        lr, weight_decay, scale = theirs[name]
        if name in grn:  # four-dimensional, hence decayed by the published code
            assert weight_decay == WEIGHT_DECAY
            weight_decay = 0
        assert ours[name] == (lr, weight_decay, scale), name


def test_prefixes_of_names():
    for prefix in ('', 'backbone.', 'module.', 'module.backbone.', 'teacher.backbone.'):
        assert layer_id(f'{prefix}stages.2.5.dwconv.weight', TINY) == 4
        assert stage_id(f'{prefix}stages.2.5.dwconv.weight', TINY) == 3
        assert block_id(f'{prefix}stages.2.5.dwconv.weight', TINY) == 12
        assert layer_id(f'{prefix}downsample_layers.0.0.weight', TINY) == 0
        assert block_id(f'{prefix}downsample_layers.3.1.bias', TINY) == 16
        assert layer_id(f'{prefix}norm2.weight', TINY) == 7
        assert stage_id(f'{prefix}pos_embed', TINY) == 0
    wrapped = 'module.backbone._orig_mod.stages.3._checkpoint_wrapped_module.1.gamma'
    assert layer_id(wrapped, TINY) == 6
    for name in (
        'decode_head.stages.0.0.weight',
        'my_backbone.stages.0.0.weight',
        'backbone.extra.stages.0.0.weight',
        'backbone.stages_of_life.0.0.weight',
        'neck.convs.0.weight',
        'head.cls_token',
        'backbone.pos_embedding',
    ):
        ids = layer_id(name, BASE), stage_id(name, BASE), block_id(name, BASE)
        assert ids == (13, 13, 37), name


def test_num_layers():
    six = [(2, 2, 6, 2), (2, 2, 8, 2), TINY, BASE, (1, 1, 1, 1), (3, 3, 28, 3)]
    assert [num_layers(depths) for depths in six] == [5, 6, 6, 12, 4, 13]
    assert num_layers(TINY, 'stage_wise') == 6
    assert num_layers(TINY, 'block_wise') == 18
    assert num_layers((2, 3), 'block_wise') == 5
    with pytest.raises(ValueError, match="did you mean 'layer_wise'"):
        num_layers(TINY, 'layerwise')


def test_names_beyond_the_depths_are_an_error():
    for function in (layer_id, stage_id, block_id):
        with pytest.raises(ValueError, match=r'stages\.2\.9.*\(3, 3, 9, 3\)'):
            function('backbone.stages.2.9.gamma', TINY)
        with pytest.raises(ValueError, match='does not exist'):
            function('downsample_layers.4.0.weight', TINY)


def test_other_numbers_of_stages():
    for depths in ((2, 3), (1, 1, 2, 1, 1)):
        model = Detector(depths)
        for decay_type in ('layer_wise', 'stage_wise'):
            with pytest.raises(ValueError, match=r'four stages.*block_wise'):
                construct(model, decay_type=decay_type)
    model = Detector((2, 3))
    wrapper = construct(model, decay_type='block_wise', decay_rate=2, lr=1)
    lrs = by_name(model, wrapper, 'lr')
    for part, lr in {
        'downsample_layers.0.0.weight': 64,
        'stages.0.0.gamma': 32,
        'stages.0.1.gamma': 16,
        'downsample_layers.1.1.weight': 8,
        'stages.1.0.gamma': 8,
        'stages.1.2.gamma': 2,
        'norm1.weight': 1,
    }.items():
        assert lrs[f'backbone.{part}'] == (lr,), part


def test_stages_that_are_not_emitted_still_count():
    model = Detector(out_indices=(0, 1, 2))
    lrs = by_name(model, construct(model, lr=1, decay_rate=2), 'lr')
    assert lrs['backbone.downsample_layers.0.0.weight'] == (128,)
    assert lrs['backbone.stages.2.8.gamma'] == (4,)


def test_weight_decay_spares_flat_parameters_biases_and_grn():
    model = Detector(use_grn=True)
    decays = by_name(model, construct(model), 'weight_decay')
    for name, param in model.named_parameters():
        matrix = name.endswith('.weight') and param.ndim > 1
        expected = WEIGHT_DECAY if matrix else 0
        assert decays[name] == (expected,), name


def test_groups_are_few_ordered_and_readable():
    model = Detector()
    groups = construct(model).optimizer.param_groups
    assert [group['group_name'] for group in groups] == [
        f'layer_{i:02d}.{kind}' for i in range(8) for kind in ('decay', 'no_decay')
    ]
    for i, (decay, no_decay) in enumerate(zip(groups[::2], groups[1::2], strict=True)):
        assert decay['lr_scale'] == no_decay['lr_scale'] == 0.7 ** (7 - i)
        assert decay['lr'] == no_decay['lr'] == 0.7 ** (7 - i) * BASE_LR
        assert (decay['weight_decay'], no_decay['weight_decay']) == (WEIGHT_DECAY, 0)
    names = {id(param): name for name, param in model.named_parameters()}
    again = construct(copy.deepcopy(model)).optimizer.param_groups
    assert [len(g['params']) for g in again] == [len(g['params']) for g in groups]
    order = [names[id(param)] for param in groups[2]['params']]
    assert order == sorted(order, key=list(names.values()).index)


@pytest.mark.parametrize('stages', [0, 2, 4])
def test_frozen_stages_are_in_no_group(stages):
    model = Detector(frozen_stages=stages)
    found = by_name(model, construct(model), 'lr')
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert found.keys() == trainable
    assert len(trainable) < len(list(model.parameters()))
    assert found['neck.conv.weight'] == (BASE_LR,)


def test_wrapped_and_nested_backbones():
    detector = Detector()
    del detector.pos_embed  # spared by its full name only, as published
    plain = by_name(detector, construct(detector), 'lr', 'weight_decay')

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.ModuleDict(dict(student=detector))

    for model, prefix in (
        (nn.DataParallel(detector), 'module.'),
        (Wrapped(), 'model.student.'),
        (nn.Sequential(nn.DataParallel(detector)), '0.module.'),
    ):
        found = by_name(model, construct(model), 'lr', 'weight_decay')
        assert found == {prefix + name: options for name, options in plain.items()}


def test_bare_and_oddly_named_backbones():
    lr = 0.7**7 * BASE_LR
    bare = backbone()
    assert by_name(bare, construct(bare), 'lr')['downsample_layers.0.0.weight'] == (lr,)
    odd = nn.ModuleDict(dict(trunk=backbone(), backbone=nn.Linear(2, 2)))
    found = by_name(odd, construct(odd), 'lr')
    assert found['trunk.downsample_layers.0.0.weight'] == (lr,)
    assert found['backbone.weight'] == (BASE_LR,)


def test_a_head_named_as_a_backbone_is_a_head():
    model = Detector()
    stages = nn.ModuleList([nn.Sequential(nn.Linear(2, 2))])
    model.head = nn.ModuleDict(dict(backbone=nn.ModuleDict(dict(stages=stages))))
    found = by_name(model, construct(model), 'lr')
    assert found['head.backbone.stages.0.0.weight'] == (BASE_LR,)
    assert layer_id('head.backbone.stages.0.0.weight', TINY) == 1


def test_ddp(tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        detector = Detector()
        model = DistributedDataParallel(detector)
        lrs = by_name(model, construct(model), 'lr')
        assert lrs['module.backbone.stages.2.4.gamma'] == (0.7**3 * BASE_LR,)
    finally:
        torch.distributed.destroy_process_group()


def test_teacher_and_student_decay_by_their_own_depths():
    model = nn.ModuleDict(dict(teacher=Detector(BASE), student=Detector(TINY)))
    wrapper = construct(model, decay_rate=2, lr=1)
    lrs = by_name(model, wrapper, 'lr', 'group_name')
    stem = 'backbone.downsample_layers.0.0.weight'
    assert lrs[f'teacher.{stem}'] == (2**13, 'layer_00.decay')
    assert lrs[f'student.{stem}'] == (2**7, 'layer_06.decay')
    assert lrs['teacher.backbone.stages.2.26.dwconv.weight'] == (4, 'layer_11.decay')
    assert lrs['student.backbone.stages.2.8.dwconv.weight'] == (4, 'layer_11.decay')
    assert lrs['teacher.neck.conv.weight'] == (1, 'layer_13.decay')
    assert lrs['student.neck.conv.weight'] == (1, 'layer_13.decay')
    with pytest.raises(ValueError, match=r'teacher.backbone.*num_layers=12'):
        construct(model, num_layers=6)

    model['teacher'].requires_grad_(False)
    wrapper = construct(model, decay_rate=2, lr=1, num_layers=6)
    groups = by_name(model, wrapper, 'lr', 'group_name')
    assert groups[f'student.{stem}'] == (2**7, 'layer_00.decay')
    assert not any(name.startswith('teacher') for name in groups)


def test_shared_parameters_train_once_and_as_of_the_backbone():
    model = nn.ModuleDict(dict(head=nn.Linear(4, 16), detector=Detector()))
    tied = model['detector'].backbone.stages[0][0].pwconv1.weight
    model['head'].weight = tied
    model['again'] = model['detector'].neck
    for bypass_duplicate in (False, True):
        wrapper = construct(model, bypass_duplicate=bypass_duplicate)
        found = by_name(model, wrapper, 'lr')
        assert found['head.weight'] == (0.7**6 * BASE_LR,)
        assert found['head.bias'] == (BASE_LR,)
        assert len(found) == len(list(model.parameters()))


def test_lr_mult_multiplies_and_leaves_the_decay_rule():
    model = Detector()
    keys = {'neck': dict(lr_mult=10), 'stages.2': dict(lr_mult=0.5)}
    found = by_name(
        model,
        construct(model, custom_keys=keys),
        'lr',
        'weight_decay',
        'group_name',
        'lr_scale',
    )
    lr = pytest.approx(10 * BASE_LR, rel=1e-12)
    assert found['neck.conv.weight'] == (lr, WEIGHT_DECAY, 'layer_07.decay.lr_x10', 1)
    assert found['neck.norm.weight'] == (lr, 0, 'layer_07.no_decay.lr_x10', 1)
    lr, scale = pytest.approx(0.5 * 0.7**3 * BASE_LR, rel=1e-12), 0.7**3
    assert found['backbone.stages.2.5.dwconv.weight'][0] == lr
    assert found['backbone.stages.2.5.gamma'][:2] == (lr, 0)
    assert found['backbone.stages.2.5.gamma'][3] == scale
    assert found['backbone.stages.3.0.gamma'][:2] == (0.7 * BASE_LR, 0)


def test_explicit_decay_multipliers_replace_the_rule():
    model = Detector(use_grn=True)

    def decay(**options):
        found = by_name(model, construct(model, **options), 'weight_decay')
        return {name: value for name, (value,) in found.items()}

    block, norm = 'backbone.stages.0.0', 'neck.norm'
    plain = decay()

    def changed(**options):
        found = decay(**options)
        return {name for name in found if found[name] != plain[name]}, found

    names, found = changed(norm_decay_mult=0.5)
    assert found[f'{norm}.weight'] == found[f'{norm}.bias'] == 0.5 * WEIGHT_DECAY
    assert found[f'{block}.norm.weight'] == 0.5 * WEIGHT_DECAY
    norms = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d)
    assert names == {
        f'{module_name}.{kind}'
        for module_name, module in model.named_modules()
        if isinstance(module, norms)
        for kind in ('weight', 'bias')
    }

    names, found = changed(bias_decay_mult=1)
    assert found['neck.conv.bias'] == WEIGHT_DECAY
    assert all(name.endswith('.bias') for name in names)
    names, found = changed(flat_decay_mult=1)
    assert found[f'{norm}.weight'] == found['neck.conv.bias'] == WEIGHT_DECAY
    assert f'{block}.grn.gamma' not in names
    names, found = changed(dwconv_decay_mult=2)
    assert found[f'{block}.dwconv.weight'] == 2 * WEIGHT_DECAY
    assert all('.dwconv.' in name for name in names)

    names, found = changed(custom_keys={'grn': dict(decay_mult=1)})
    assert names == {name for name in found if '.grn.' in name}
    assert found[f'{block}.grn.gamma'] == WEIGHT_DECAY
    names, found = changed(custom_keys={'backbone.stages.0': dict(decay_mult=0)})
    assert all(name.startswith('backbone.stages.0.') for name in names)
    assert found[f'{block}.dwconv.weight'] == 0
    # As in mmengine, a custom key takes a parameter away from the other options.
    _, found = changed(norm_decay_mult=1, custom_keys={'neck': dict(lr_mult=2)})
    assert found[f'{norm}.weight'] == 0
    assert found[f'{block}.norm.weight'] == WEIGHT_DECAY


def test_bias_lr_mult_and_longest_custom_key():
    model = Detector()
    keys = {'neck': dict(lr_mult=4), 'neck.conv': dict(lr_mult=8)}
    wrapper = construct(model, lr=1, decay_rate=2, bias_lr_mult=3, custom_keys=keys)
    lrs = by_name(model, wrapper, 'lr')
    assert lrs['backbone.stages.3.0.pwconv1.bias'] == (6,)
    assert lrs['backbone.stages.3.0.pwconv1.weight'] == (2,)
    assert lrs['backbone.stages.3.0.norm.bias'] == (2,)
    assert lrs['neck.norm.weight'] == (4,)
    assert lrs['neck.conv.bias'] == (8,)


def test_multipliers_are_those_of_the_default_constructor():
    """At rate 1, only the parameters without decay differ from mmengine's groups."""
    model = Detector(use_grn=True)
    options = dict(
        norm_decay_mult=0.3,
        bias_lr_mult=2,
        bias_decay_mult=0.7,
        flat_decay_mult=0.9,
        dwconv_decay_mult=0.2,
        custom_keys={'neck': dict(lr_mult=5, decay_mult=3), 'grn': dict(lr_mult=2)},
    )
    cfg = dict(optimizer=dict(type='AdamW', lr=BASE_LR, weight_decay=WEIGHT_DECAY))
    reference = DefaultOptimWrapperConstructor(cfg, dict(options))(model)
    theirs = by_name(model, reference, 'lr', 'weight_decay')
    ours = by_name(
        model, construct(model, decay_rate=1, **options), 'lr', 'weight_decay'
    )
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different == {'pos_embed'} | {name for name in ours if '.grn.' in name}


def test_other_options_of_a_custom_key_reach_the_group():
    model = Detector()
    keys = {'neck': dict(betas=(0.8, 0.9)), 'decode_head': dict(weight_decay=0.3)}
    found = by_name(
        model, construct(model, custom_keys=keys), 'betas', 'lr', 'weight_decay'
    )
    assert found['neck.conv.weight'] == ((0.8, 0.9), BASE_LR, WEIGHT_DECAY)
    assert found['neck.conv.bias'] == ((0.8, 0.9), BASE_LR, 0)
    assert found['decode_head.downsample_layers.bias'][2] == 0.3
    assert found['pos_embed'] == ((0.9, 0.999), BASE_LR, 0)


def test_optimizer_without_weight_decay_keeps_its_default():
    model = Detector()
    cfg = dict(optimizer=dict(type='AdamW', lr=1))
    wrapper = LayerDecayOptimWrapperConstructor(cfg, dict(decay_rate=0.7))(model)
    found = by_name(model, wrapper, 'weight_decay')
    assert found['neck.conv.weight'] == (wrapper.optimizer.defaults['weight_decay'],)
    assert found['neck.conv.bias'] == (0,)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (None, 'decay_rate must be a number above 0.*got None'),
        ({}, 'decay_rate must be a number above 0.*got None'),
        (dict(decay_type='layer_wise'), 'decay_rate.*got None: set paramwise_cfg'),
        (dict(decay_rate=0), 'decay_rate.*got 0'),
        (dict(decay_rate=-0.7), 'decay_rate.*got -0.7'),
        (dict(decay_rate=True), 'decay_rate.*got True'),
        (dict(decay_rate='0.7'), "decay_rate.*got '0.7'"),
        (dict(decay_rate=float('nan')), 'decay_rate.*got nan'),
        (dict(decay_rate=float('inf')), 'decay_rate.*got inf'),
        (
            dict(decay_rate=0.7, decay_type='layerwise'),
            "expected block_wise, layer_wise, stage_wise, got 'layerwise'; did you "
            "mean 'layer_wise'",
        ),
        (dict(decay_rate=0.7, decay_typ='stage_wise'), "did you mean 'decay_type'"),
        (dict(layer_decay_rate=0.7), "did you mean 'decay_rate'"),
        (dict(decay_rate=0.7, norm_decay_mul=0), "did you mean 'norm_decay_mult'"),
        (
            dict(decay_rate=0.7, custom_keys=dict(neck=dict(lr_mul=2))),
            r"custom_keys\['neck'\].*did you mean 'lr_mult'",
        ),
        (dict(decay_rate=0.7, num_layers=12), r'num_layers=12.*num_layers=6.*leave'),
        (
            dict(decay_rate=0.7, num_layers=6, decay_type='block_wise'),
            'num_layers=6.*num_layers=18 for block_wise',
        ),
    ],
)
def test_wrong_options_are_an_error_with_the_fix(cfg, message):
    wrapper_cfg = dict(
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        constructor=f'convnext_backbone.{NAME}',
        paramwise_cfg=cfg,
    )
    with pytest.raises(ValueError, match=message):
        build_optim_wrapper(Detector(), wrapper_cfg)


def test_missing_learning_rate_is_an_error():
    with pytest.raises(ValueError, match=r'learning rate.*lr=None.*optimizer.lr'):
        LayerDecayOptimWrapperConstructor(
            dict(optimizer=dict(type='AdamW')), dict(decay_rate=0.7)
        )


@pytest.mark.parametrize('given', [6, None])
def test_right_num_layers_is_accepted(given):
    model = Detector()
    lrs = by_name(model, construct(model, num_layers=given), 'lr')
    assert lrs == by_name(model, construct(model), 'lr')


def test_no_convnext_is_an_error_that_names_what_was_found():
    class ConvNeXt(nn.Linear):
        """The name alone does not make a backbone."""

    model = nn.Module()
    model.backbone = ConvNeXt(2, 2)
    with pytest.raises(
        ValueError, match=r'Module is .*test_layer_decay\..*ConvNeXt\. Set'
    ):
        construct(model)
    with pytest.raises(ValueError, match=r'torch.nn.modules.linear.Linear'):
        construct(nn.Linear(2, 2))


def test_log_is_one_table():
    model = Detector(frozen_stages=1)
    with captured_log() as records:
        wrapper = construct(model, norm_decay_mult=0.0, custom_keys=dict(neck={}))
    (record,) = records
    assert record.levelno == logging.INFO
    title, header, *rows = record.getMessage().splitlines()
    for fact in ('layer_wise', '0.7', 'backbone: depths (3, 3, 9, 3)', 'num_layers 6'):
        assert fact in title
    assert header.split() == (
        ['group', 'lr_scale', 'lr', 'weight', 'decay', 'tensors', 'parameters']
    )
    assert len({len(line) for line in [header, *rows]}) == 1, 'columns are aligned'

    def counts(params):
        params = list(params)
        return [str(len(params)), f'{sum(p.numel() for p in params):,}']

    *groups, frozen = (row.split() for row in rows)
    for row, group in zip(groups, wrapper.optimizer.param_groups, strict=True):
        numbers = [group[key] for key in ('lr_scale', 'lr', 'weight_decay')]
        assert row[0] == group['group_name']
        assert [float(cell) for cell in row[1:4]] == pytest.approx(numbers, rel=1e-3)
        assert row[4:] == counts(group['params'])
    still = (p for p in model.parameters() if not p.requires_grad)
    assert frozen == ['frozen', '-', '-', '-', *counts(still)]


def test_only_rank_zero_logs(monkeypatch):
    monkeypatch.setattr(
        'convnext_backbone.backbone.optim_constructor.is_main_process', lambda: False
    )
    with captured_log() as records:
        construct(Detector())
    assert records == []


def test_logger_speaks_again_after_an_error():
    logger = MMLogger.get_current_instance()
    before = list(logger.filters)
    model = Detector()
    with pytest.raises(TypeError):  # raised inside mmengine's constructor
        construct(model, norm_decay_mult='a lot')
    assert logger.filters == before
    construct(model)
    assert logger.filters == before


def test_custom_key_without_effect_is_warned_about():
    keys = {'nekc': dict(lr_mult=2), 'neck': dict(lr_mult=2)}
    with captured_log() as records:
        construct(Detector(), custom_keys=keys)
    (warning,) = (r.getMessage() for r in records if r.levelno == logging.WARNING)
    assert "'nekc'" in warning
    assert "'neck'" not in warning


def test_schedulers_keep_the_ratios():
    model = Detector()
    wrapper = construct(model)
    groups = wrapper.optimizer.param_groups
    schedulers = [
        LinearLR(wrapper, start_factor=0.001, by_epoch=False, end=4),
        PolyLR(wrapper, eta_min=0, power=1, begin=4, end=8, by_epoch=False),
        MultiStepLR(wrapper, milestones=[6], gamma=0.1, by_epoch=False),
    ]
    seen = []
    for _ in range(8):
        head = groups[-1]['lr']
        seen.append(head / BASE_LR)
        for group in groups:
            assert group['lr'] == pytest.approx(group['lr_scale'] * head, rel=1e-9)
        assert wrapper.get_lr()['base_lr'] == [pytest.approx(head)]
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    shape = [0.001, 0.334, 0.667, 1, 1, 2 / 3, 0.1 / 3, 0]
    assert seen == pytest.approx(shape, abs=1e-9)


@pytest.mark.filterwarnings('ignore:torch.cuda.amp.GradScaler')
@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'AmpOptimWrapper'])
def test_optimizer_wrappers(wrapper, monkeypatch):
    # Building the AMP wrapper asks for a GPU; its groups are the same without one.
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    model = Detector()
    built = construct(model, wrapper=wrapper)
    assert type(built).__name__ == wrapper
    assert isinstance(built, OptimWrapper)
    lrs = by_name(model, built, 'lr')
    assert lrs['backbone.stages.2.4.gamma'] == (0.7**3 * BASE_LR,)


def test_training_moves_every_group_and_resumes():
    torch.manual_seed(0)
    model = Detector()
    wrapper = construct(model)
    before = copy.deepcopy(model.state_dict())
    loss = sum(map(torch.sum, model.parameters()))
    wrapper.update_params(loss)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == dict(model.named_parameters()).keys()

    again = construct(model)
    again.load_state_dict(wrapper.state_dict())
    saved, loaded = (
        by_name(model, w, 'lr', 'lr_scale', 'group_name') for w in (wrapper, again)
    )
    assert saved == loaded


def test_registered_under_both_names():
    assert OPTIM_WRAPPER_CONSTRUCTORS.get(NAME) is LayerDecayOptimWrapperConstructor
    assert ROOT_CONSTRUCTORS.get(NAME) is LayerDecayOptimWrapperConstructor
    model = Detector()
    cfg = ConfigDict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=1.0, momentum=0.9, weight_decay=0.1),
        paramwise_cfg=dict(decay_rate=2.0, custom_keys=dict(neck=dict(lr_mult=3))),
    )
    for name in (NAME, f'convnext_backbone.{NAME}'):
        original = copy.deepcopy(cfg)
        wrapper = build_optim_wrapper(model, ConfigDict(cfg, constructor=name))
        assert by_name(model, wrapper, 'lr')['neck.conv.weight'] == (3,)
        assert cfg == original


FRESH = """
import sys
import convnext_backbone
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, init_default_scope
{before}
init_default_scope('{scope}')
backbone = MODELS.build(dict(
    type='convnext_backbone.ConvNeXt',
    arch=dict(depths=(3, 3, 9, 3), channels=(4, 8, 16, 32))))
assert 'convnext_backbone.backbone.optim_constructor' not in sys.modules
wrapper = build_optim_wrapper(backbone, dict(
    type='OptimWrapper',
    constructor='convnext_backbone.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1, weight_decay=0.05),
    paramwise_cfg=dict(decay_rate=2, decay_type='layer_wise', num_layers=6)))
assert type(wrapper).__name__ == 'OptimWrapper'
print('stem', wrapper.optimizer.param_groups[0]['lr'])
root = OPTIM_WRAPPER_CONSTRUCTORS.get('LayerDecayOptimWrapperConstructor')
print('root', root.__module__)
"""
TAKEN = """
@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    pass
"""


@pytest.mark.parametrize(
    ('scope', 'before', 'root'),
    [
        ('mmdet', '', 'convnext_backbone.backbone.optim_constructor'),
        pytest.param('mmseg', TAKEN, '__main__', marks=pytest.mark.slow),
    ],
    ids=['mmdet', 'mmseg where another package has the unscoped name'],
)
def test_builds_in_a_fresh_process(scope, before, root):
    code = FRESH.format(scope=scope, before=before)
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert 'stem 128' in result.stdout
    assert f'root {root}' in result.stdout
    assert 'paramwise_options' not in result.stdout


def test_every_block_has_one_id_and_ids_rise_with_depth():
    model = Detector(BASE)
    for function in (layer_id, stage_id, block_id):
        ids = [
            {function(name, BASE) for name in names}
            for _, names in itertools.groupby(
                (n for n, _ in model.backbone.named_parameters() if '.dwconv.' in n),
                key=lambda name: name.split('.')[1:3],
            )
        ]
        assert len(ids) == 36
        assert all(len(block) == 1 for block in ids)
        flat = [block.pop() for block in ids]
        assert flat == sorted(flat)
