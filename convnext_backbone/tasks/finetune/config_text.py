"""Writes the config of a fine-tuning: short, readable, the user's to edit."""

import math
import shlex

from convnext_backbone.backbone.block import ACTIVATIONS, NORM_EPS
from convnext_backbone.backbone.init_cfg import CHECKPOINT_INIT
from convnext_backbone.config.parts import is_ours, iter_heads
from convnext_backbone.openmmlab.normalisation import is_same
from convnext_backbone.results.drawing import default_palette
from convnext_backbone.tasks.finetune import detector_config, segmentor_config
from convnext_backbone.tasks.finetune.config_code import (
    Expression,
    assignments,
    format_code,
)
from convnext_backbone.tasks.finetune.plan import Plan
from convnext_backbone.tasks.finetune.recipe import PATIENCE, VALIDATIONS, Recipe
from convnext_backbone.tasks.initial_weights import backbone_weights

CONSTRUCTOR = 'convnext_backbone.LayerDecayOptimWrapperConstructor'


def write_config(plan: Plan) -> str:
    """Return the text of a config."""
    parts = detector_config if plan.data.numbers['task'] == 'det' else segmentor_config
    palette = plan.data.numbers['palette'] or default_palette(len(plan.classes))
    splits = plan.data.numbers['splits']
    train, val = splits['train']['images'], splits['val']['images']
    count = len(plan.classes)
    named = f'{count} classes' if count > 1 else f'class {plan.classes[0]}'
    sections = [
        f'"""{plan.data.images.name}: {train} + {val} images, {named}.\n\n'
        f'Written by: {plan.command}\n'
        f'Yours to edit; then: convnext-backbone train '
        f'{shlex.quote(str(plan.work_dir / "config.py"))}\n'
        f'"""\n\n_base_ = {plan.base_name!r}\nwork_dir = {str(plan.work_dir)!r}\n',
        '# What it is trained on; the images are the originals.\n'
        + assignments(
            {
                'images': f'{plan.data.images}/',
                'data_root': f'{plan.data.folder}/',
                'metainfo': {
                    'classes': plan.classes,
                    'palette': [tuple(colour) for colour in palette],
                },
            }
        ),
        '# What the model sees. Scale: long and short side in pixels.\n'
        + parts.data(plan),
        '# The model: as the base, but for these classes.\n'
        + assignments({'model': model(plan, parts.model(plan))})
        + load_from(plan),
        '# How long, how fast.\n' + schedule(plan),
        '# Checkpoints, the average of the weights, and when to stop.\n'
        + hooks(plan, parts.metric(plan)),
    ]
    return format_code('\n'.join(sections))


def load_from(plan: Plan) -> str:
    """Write the whole model to start from; without one, take out the base's."""
    if plan.weights is not None and plan.weights.of == 'model':
        return f'load_from = {str(plan.weights.reference)!r}\n'
    return 'load_from = None\n' if plan.base.get('load_from') else ''


def model(plan: Plan, model: dict) -> dict:
    """Add what detectors and segmentors share: class counts, backbone, its weights."""
    for name, head in iter_heads(plan.base.model):
        _set_classes(plan, model, name, head)
    backbone: dict[str, object] = {}
    stated = [str(weights.reference) for weights in backbone_weights(plan.base.model)]
    if plan.weights is None:
        if stated:
            backbone['init_cfg'] = None
    elif plan.weights.of == 'backbone':
        source = str(plan.weights.reference)
        if source not in stated:
            backbone['init_cfg'] = dict(
                _delete_=True, type=CHECKPOINT_INIT, source=source
            )
    if plan.recipe.frozen_stages >= 0:
        backbone['frozen_stages'] = plan.recipe.frozen_stages
    backbone |= functions(plan)
    images = normalisation(plan)
    if images:
        model['data_preprocessor'] = {**images, **model.get('data_preprocessor', {})}
    return {**({'backbone': backbone} if backbone else {}), **model}


def functions(plan: Plan) -> dict:
    """Return activation and eps where the weights state others than the base has."""
    base = plan.base.model.get('backbone') or {}
    changes: dict[str, object] = {}
    if plan.stated.act in ACTIVATIONS and plan.stated.act != base.get('act', 'gelu'):
        changes['act'] = plan.stated.act
    eps = plan.stated.norm_eps
    if eps and not math.isclose(eps, base.get('norm_eps', NORM_EPS), rel_tol=1e-3):
        changes['norm_eps'] = eps
    return changes


def normalisation(plan: Plan) -> dict:
    """Return mean and std where the weights state others than the base has."""
    preprocessor = plan.base.model.get('data_preprocessor') or {}
    own = [list(preprocessor.get(key) or []) for key in ('mean', 'std')]
    mean, std = plan.stated.mean, plan.stated.std
    if mean is None or std is None or len(mean) != len(own[0]):
        return {}  # not stated, or of other channels
    if is_same(own[0], mean) and is_same(own[1], std):
        return {}
    return dict(mean=list(mean), std=list(std))


def _set_classes(plan: Plan, model: dict, name: str, head: dict) -> None:
    """State the number of classes of a head; for one in a list, of the whole list."""
    count = len(plan.classes)
    change: dict[str, object] = {'num_classes': count}
    for key, loss in head.items():
        weights = loss.get('class_weight') if isinstance(loss, dict) else None
        if isinstance(weights, list | tuple):
            # One more than there are classes: the last one weighs 'no object'.
            rest = list(weights[head['num_classes'] :])
            change[key] = dict(class_weight=[1.0] * count + rest if rest else None)
    new: object = change
    *path, last = name.split('.')
    if last.isdigit():
        *path, last = path
        place = Expression('_base_.model.' + '.'.join([*path, last]))
        new = Expression(f'[dict(head, num_classes={count}) for head in {place}]')
    node = model
    for key in path:
        node = node.setdefault(key, {})
    if last in node and node[last] is None:  # the head was taken out
        return
    if isinstance(node.get(last), dict) and isinstance(new, dict):
        new = {**node[last], **new}
    node[last] = new


def schedule(plan: Plan) -> str:
    """Write the length of training, the learning rate's course, and its scaling."""
    recipe, base = plan.recipe, plan.base
    by_epoch = recipe.epochs is not None
    length = recipe.epochs if by_epoch else recipe.iters
    key = 'max_epochs' if by_epoch else 'max_iters'
    train_cfg = {key: length, 'val_interval': recipe.val_interval}
    if base.train_cfg.get('dynamic_intervals'):
        train_cfg['dynamic_intervals'] = None
    values: dict[str, object] = {'train_cfg': train_cfg}
    factor = length / base.train_cfg[key]
    values['param_scheduler'] = [
        rescale(dict(part), factor, recipe) for part in base.param_scheduler
    ]
    constructor = base.optim_wrapper.get('constructor', '')
    ours = 'LayerDecay' in constructor
    if plan.weights is None and ours:
        # Random weights: the first layers have as much to learn as the last.
        values['optim_wrapper'] = dict(paramwise_cfg=dict(decay_rate=1.0))
    elif plan.weights is not None and not ours and is_ours(base.model.get('backbone')):
        values['optim_wrapper'] = dict(
            constructor=CONSTRUCTOR,
            paramwise_cfg=dict(_delete_=True, decay_rate=0.8, decay_type='layer_wise'),
        )
    if base.get('auto_scale_lr'):
        values['auto_scale_lr'] = dict(enable=True)
    values['randomness'] = dict(seed=0)
    return assignments(values)


def rescale(scheduler: dict, factor: float, recipe: Recipe) -> dict:
    """Stretch a scheduler to another length of training; shorten a long warm-up."""
    by_epoch = scheduler.get('by_epoch', True)
    if not by_epoch and (recipe.epochs is not None or scheduler['type'] == 'LinearLR'):
        end = scheduler.get('end')  # a warm-up, in iterations
        if end is not None:
            scheduler['end'] = min(end, max(1, recipe.iters // 10))
        return scheduler
    for key in ('begin', 'end', 'T_max', 'step_size'):
        if scheduler.get(key):
            scheduler[key] = max(1, round(scheduler[key] * factor))
    if 'milestones' in scheduler:
        points = {max(1, round(m * factor)) for m in scheduler['milestones']}
        scheduler['milestones'] = sorted(points)
    return scheduler


def hooks(plan: Plan, metric: str) -> str:
    """Write the hooks: checkpoints, moving average, early stopping."""
    recipe = plan.recipe
    checkpoint: dict[str, object] = dict(save_best=metric, rule='greater')
    if recipe.epochs is None:
        checkpoint['interval'] = max(1, min(1000, recipe.iters // 20))
    own: list[object] = [
        dict(type='EMAHook', momentum=recipe.ema_momentum, priority='ABOVE_NORMAL'),
        dict(
            type='EarlyStoppingHook',
            monitor=metric,
            rule='greater',
            min_delta=0.001,
            patience=PATIENCE if plan.weights else VALIDATIONS,
        ),
    ]
    if plan.base.get('custom_hooks'):
        own = [Expression('*_base_.custom_hooks'), *own]
    return assignments(
        {'default_hooks': dict(checkpoint=checkpoint), 'custom_hooks': own}
    )
