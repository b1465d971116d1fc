"""The learning rates of a config over its schedule, as numbers and as a chart."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from convnext_backbone.backbone.group_table import Group
from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.openmmlab.schedules import scheduler_configs

COCO_IMAGES = 117_266  # images of train2017 that have annotations
POINTS = 500  # of a curve
SUFFIXES = ('.png', '.pdf', '.svg', '.jpg')


def trace_rates(
    cfg: Config, groups: list[Group]
) -> tuple[list[float], list[list[float]]]:
    """Step a config's schedulers to the end of its training loop.

    Returns:
        Positions in the unit of the loop, epochs or iterations, and for each group the
        learning rate at every position.
    """
    by_epoch = 'max_epochs' in cfg.train_cfg
    length = epoch_length(cfg) if by_epoch else 1
    total = cfg.train_cfg.get('max_epochs', 0) * length or cfg.train_cfg.max_iters
    last_rate = groups[-1].lr
    assert last_rate is not None, 'build_groups lists no frozen parameters'
    stand_ins = [{'params': [nn.Parameter(torch.zeros(1))], 'lr': g.lr} for g in groups]
    optimizer = torch.optim.SGD(stand_ins, lr=last_rate)
    schedulers = [
        _build_scheduler(dict(config), optimizer, length, cfg.train_cfg)
        for config in scheduler_configs(cfg.get('param_scheduler'))
    ]
    optimizer.step()  # without gradients; schedulers warn if they step before it
    positions: list[float] = []
    rates: list[list[float]] = [[] for _ in groups]
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


def _build_scheduler(
    config: dict, optimizer: torch.optim.Optimizer, length: int, train_cfg: ConfigDict
) -> _ParamScheduler:
    """Build a scheduler as mmengine's Runner does: by default it ends with the loop."""
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
    """Count the iterations of an epoch with the total batch size of the config.

    If the annotation file does not exist here, an epoch is taken to be as long as
    COCO's, with a warning unless the data is COCO.

    Raises:
        UserError: The annotation file cannot be read.
    """
    batch = cfg.get('auto_scale_lr', {}).get('base_batch_size') or 1
    images = 0
    for dataset in iter_datasets(cfg.train_dataloader):
        ann_file = dataset.get('ann_file')
        path = Path(dataset.get('data_root') or '', ann_file or '')
        if ann_file and path.is_file():
            images += _count_images(path)
        elif 'train2017' not in str(ann_file):
            MMLogger.get_current_instance().warning(
                f'{path} does not exist: an epoch is taken to have as many images as '
                f"COCO's, {COCO_IMAGES}"
            )
    return max(1, (images or COCO_IMAGES) // batch)


def _count_images(ann_file: Path) -> int:
    """Count the images of a COCO annotation file."""
    with os_errors_told('reading the annotations of the training data'):
        text = ann_file.read_bytes()
    try:
        return len(json.loads(text)['images'])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{ann_file} is not a COCO json with images: {error!r}; correct it, or '
            f'give another data_root with --cfg-options'
        ) from error


def plot(cfg: Config, groups: Sequence[Group], path: str | Path) -> None:
    """Draw the learning rate of every layer over the schedule, stem to heads.

    Args:
        cfg: The config.
        groups: Its parameter groups, from the stem to the heads.
        path: The picture to write, of a suffix in :data:`SUFFIXES`.

    Raises:
        UserError: The suffix is another, or the file cannot be written.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UserError(
            f'--plot {path}: expected a file that ends in one of {", ".join(SUFFIXES)}'
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = {group.name.split('.')[0]: group for group in groups}
    positions, rates = trace_rates(cfg, list(layers.values()))
    figure = Figure(figsize=(9, 5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = _labels(layers)
    colours = _colours(len(layers))
    for label, curve, colour in zip(labels, rates, colours, strict=True):
        axes.plot(positions, curve, color=colour, label=label)
    axes.set_yscale('log')
    axes.set_xlabel('epoch' if 'max_epochs' in cfg.train_cfg else 'iteration')
    axes.set_ylabel('learning rate')
    axes.set_title(Path(cfg.filename).stem)
    axes.grid(alpha=0.3)
    axes.legend(fontsize='small', loc='center left', bbox_to_anchor=(1, 0.5))
    with os_errors_told(f'writing --plot {path}'):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)


def _labels(layers: dict[str, Group]) -> list[str]:
    """Label layers, of which the first is the stem and the last one the heads."""
    labels = [f'{name}: {group.lr:.3g}' for name, group in layers.items()]
    if len(labels) > 1:
        labels[0] += ' (stem)'
        labels[-1] += ' (heads)'
    return labels


def _colours(number: int) -> list[tuple[float, ...]]:
    """Return colours from dark to light, one for each layer."""
    from matplotlib import colormaps

    steps = max(1, number - 1)
    return [colormaps['viridis'](0.95 * n / steps) for n in range(number)]
