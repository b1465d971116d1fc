"""Learning rates of a config: by parameter group, and over the schedule."""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from torch import nn

from convnext_backbone.backbone.group_table import Group
from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.inspect_config.fake_models import meta_model
from convnext_backbone.openmmlab.amp import without_amp
from convnext_backbone.openmmlab.schedules import scheduler_configs

COCO_IMAGES = 117_266  # of train2017 that have annotations
POINTS = 500  # of a curve
PICTURES = ('.png', '.pdf', '.svg', '.jpg')


def build_groups(cfg: Config) -> list[Group]:
    """Build a config's model and optimizer, and describe the parameter groups.

    The groups are ordered from stem to heads. Nothing is downloaded or initialised.

    Raises:
        UserError: The config has no optimizer.
    """
    if 'optim_wrapper' not in cfg:
        raise UserError(
            f'config {cfg.filename} has no optim_wrapper, so there are no learning '
            f'rates to show'
        )
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = meta_model(cfg)
    # AMP needs a device.
    wrapper = {**without_amp(cfg.optim_wrapper), 'type': 'OptimWrapper'}
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')  # the constructor logs the same groups, and what is frozen
    try:
        optimizer = build_optim_wrapper(model, wrapper).optimizer
    finally:
        logger.setLevel(level)
    merged: dict[tuple, list] = {}
    base = optimizer.defaults['lr']
    for group in optimizer.param_groups:
        key = (group.get('group_name'), group['lr'], group.get('weight_decay', 0.0))
        merged.setdefault(key, []).extend(group['params'])
    return [
        Group(
            name or f'group_{number}',
            lr / base if base else 1.0,
            lr,
            decay,
            len(params),
            sum(p.numel() for p in params),
        )
        for number, ((name, lr, decay), params) in enumerate(merged.items())
    ]


def trace(cfg: Config, groups: list[Group]) -> tuple[list[float], list[list[float]]]:
    """Step a config's schedulers to the end of its training loop.

    Returns:
        Positions in epochs or iterations, as the loop counts, and for each group the
        learning rate at every position.
    """
    by_epoch = 'max_epochs' in cfg.train_cfg
    length = epoch_length(cfg) if by_epoch else 1
    total = cfg.train_cfg.get('max_epochs', 0) * length or cfg.train_cfg.max_iters
    stand_ins = [{'params': [nn.Parameter(torch.zeros(1))], 'lr': g.lr} for g in groups]
    optimizer = torch.optim.SGD(stand_ins, lr=groups[-1].lr)
    schedulers = [
        _build_scheduler(dict(config), optimizer, length, cfg.train_cfg)
        for config in scheduler_configs(cfg.get('param_scheduler'))
    ]
    optimizer.step()  # without gradients; schedulers warn when they come first
    positions, rates = [], [[] for _ in groups]
    every = max(1, total // POINTS)
    for step in range(total):
        if step % every == 0 or step == total - 1:
            positions.append(step / length)
            for curve, group in zip(rates, optimizer.param_groups, strict=True):
                curve.append(group['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or (step + 1) % length == 0:
                scheduler.step()
    return positions, rates


def _build_scheduler(config: dict, optimizer, length: int, train_cfg: dict):
    """Build a scheduler as mmengine's Runner does: it ends with the loop."""
    by_epoch = config.get('by_epoch', True)
    end = train_cfg.get('max_epochs' if by_epoch else 'max_iters')
    if end is None:
        end = train_cfg.max_epochs * length
    config.setdefault('end', end)
    scheduler_type = PARAM_SCHEDULERS.get(config.pop('type'))
    if config.pop('convert_to_iter_based', False):
        return scheduler_type.build_iter_from_epoch(
            optimizer=optimizer, epoch_length=length, **config
        )
    return scheduler_type(optimizer=optimizer, **config)


def epoch_length(cfg: Config) -> int:
    """Count the iterations of an epoch on the total batch that the config is for.

    Without the data at hand, an epoch is taken to be as long as COCO's, and that is
    said unless the data is COCO.
    """
    batch = cfg.get('auto_scale_lr', {}).get('base_batch_size') or 1
    images = 0
    for dataset in iter_datasets(cfg.train_dataloader):
        ann_file = dataset.get('ann_file')
        path = Path(dataset.get('data_root') or '', ann_file or '')
        if ann_file and path.is_file():
            images += len(json.loads(path.read_text(encoding='utf-8'))['images'])
        elif 'train2017' not in str(ann_file):
            MMLogger.get_current_instance().warning(
                f'{path} is not here: an epoch is taken to have as many images as '
                f"COCO's, {COCO_IMAGES}"
            )
    return max(1, (images or COCO_IMAGES) // batch)


def plot(cfg: Config, groups: list[Group], path: str | Path) -> None:
    """Draw the learning rate of every layer over the schedule, stem to heads.

    Raises:
        UserError: The suffix is not that of a picture.
    """
    if Path(path).suffix not in PICTURES:
        raise UserError(f'--plot {path}: expected a name in {", ".join(PICTURES)}')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = {group.name.split('.')[0]: group for group in groups}
    positions, rates = trace(cfg, list(layers.values()))
    figure = Figure(figsize=(9, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = _colours(len(layers))
    for (name, group), curve, colour in zip(
        layers.items(), rates, colours, strict=True
    ):
        label = f'{name}: {group.lr:.3g}'
        if group is groups[0] or name == groups[0].name.split('.')[0]:
            label += ' (stem)' if len(layers) > 1 else ''
        if name == groups[-1].name.split('.')[0] and len(layers) > 1:
            label += ' (heads)'
        axes.plot(positions, curve, color=colour, label=label)
    axes.set_yscale('log')
    axes.set_xlabel('epoch' if 'max_epochs' in cfg.train_cfg else 'iteration')
    axes.set_ylabel('learning rate')
    axes.set_title(Path(cfg.filename).stem)
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small', loc='center left', bbox_to_anchor=(1, 0.5))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _colours(number: int) -> list:
    from matplotlib import colormaps

    steps = max(1, number - 1)
    return [colormaps['viridis'](0.95 * n / steps) for n in range(number)]
