"""Checks of a config before anything is built: data paths, classes, channels.

Each of them is an error that would otherwise surface after minutes, as a shape
mismatch in a traceback, or never, as a model that learns nothing.
"""

import json
from pathlib import Path

import torch
from mmengine.config import Config

from convnext_backbone.backbone.archs import parse_arch, parse_out_indices
from convnext_backbone.config.parts import (
    dataset_classes,
    is_ours,
    iter_datasets,
    iter_heads,
    iter_types,
)
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab import mmcv_ext

# The classes of larger files are checked when the data set is loaded: parsing
# COCO's train2017 twice would cost a quarter of a minute at every start.
MAX_JSON_BYTES = 100_000_000
DEFORMABLE = {
    'DINO',
    'DDQDETR',
    'DeformableDETR',
    'GroundingDINO',
    'MSDeformAttnPixelDecoder',
    'MultiScaleDeformableAttention',
}


def check_config(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check the parts of a config that have to agree.

    Args:
        cfg: The config, overrides applied.
        splits: The data loaders to check, of 'train', 'val' and 'test'.

    Raises:
        UserError: Something is missing or does not match; the message names it,
            what was expected, and the fix.
    """
    loaders = [key for key in cfg if key.endswith('_dataloader')]
    if not isinstance(cfg.get('model'), dict) or not loaders:
        raise UserError(
            f'config {cfg.filename} has no {"data" if cfg.get("model") else "model"}: '
            f'give a config that stands beside _base_, not one of its parts'
        )
    check_channels(cfg)
    check_ops(cfg)
    check_one_class(cfg)
    for split in splits:
        for dataset in iter_datasets(cfg.get(f'{split}_dataloader')):
            check_paths(dataset, split, cfg.get('data_root'))
            check_classes(cfg, dataset, split)


def check_paths(dataset: dict, split: str, data_root: str | None) -> None:
    """Raise UserError unless a data set's annotation file and folders exist."""
    if dataset.get('backend_args'):  # not on this machine
        return
    root = Path(dataset.get('data_root') or '')
    prefixes = dict(dataset.get('data_prefix') or {})
    for path in (dataset.get('ann_file'), *prefixes.values()):
        if not isinstance(path, str) or not path or '://' in path:
            continue
        if not (root / path).exists():
            state = 'holds no' if root.is_dir() else 'does not exist: expected in it'
            raise UserError(
                f'{split} data: {root or "."} {state} {path}; give the folder that '
                f'holds it with --data-root (the config says {data_root!r})'
            )
    folder = prefixes.get('img_path')  # mmseg lists it by suffix, in silence
    if folder and not dataset.get('ann_file'):
        suffix = dataset.get('img_suffix', '.jpg')
        if not any(str(p).endswith(suffix) for p in (root / folder).rglob('*')):
            raise UserError(
                f'{split} data: {root / folder} holds no *{suffix}: set img_suffix in '
                f'the data set'
            )


def check_classes(cfg: Config, dataset: dict, split: str) -> None:
    """Raise UserError unless heads, data set and annotations agree on classes."""
    classes = dataset_classes(cfg, dataset)
    if classes is None:
        return
    for name, head in iter_heads(cfg.model):
        if head['num_classes'] != len(classes):
            raise UserError(
                f'model.{name} has num_classes={head["num_classes"]}, but the {split} '
                f'data set has {len(classes)} classes ({_some(classes)}): set '
                f'num_classes={len(classes)} there, or the classes with metainfo='
                f'dict(classes=(...)) in the data set'
            )
    if 'Coco' in str(dataset.get('type')) and isinstance(dataset.get('ann_file'), str):
        ann_file = Path(dataset.get('data_root') or '', dataset['ann_file'])
        if ann_file.is_file() and ann_file.stat().st_size <= MAX_JSON_BYTES:
            check_categories(ann_file, classes)


def check_one_class(cfg: Config) -> None:
    """Raise UserError for a segmentor of one class, which tells nothing apart.

    Under a softmax it is everywhere; with one sigmoid mmseg predicts 0 and 1, the
    labels of two classes.
    """
    if cfg.get('default_scope') != 'mmseg' or 'Depth' in str(cfg.model.get('type')):
        return
    for name, head in iter_heads(cfg.model):
        if head['num_classes'] == 1:
            raise UserError(
                f'model.{name} has num_classes=1, which leaves nothing to tell the '
                f'class from: set num_classes=2 and name the background too, metainfo='
                f"dict(classes=('background', ...)); for a single output, also "
                f'out_channels=1 and use_sigmoid=True in loss_decode'
            )


def check_categories(ann_file: Path, classes: tuple[str, ...]) -> None:
    """Compare a COCO json's categories with the classes of the data set.

    mmdet selects categories by name and numbers them in the order of the file, so
    a missing name shifts, and another order permutes, all labels without a word.

    Raises:
        UserError: A class is not in the file, the file holds nothing of the
            classes, or the order differs.
    """
    try:
        content = json.loads(ann_file.read_text(encoding='utf-8'))
        names = [category['name'] for category in content['categories']]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{ann_file} is not a COCO json with categories: {error!r}'
        ) from error
    missing = [name for name in classes if name not in names]
    if missing:
        raise UserError(
            f'{ann_file} has no category {_some(missing)}; it has {_some(names)}: '
            f'write the classes of the config (metainfo) as they are in the file'
        )
    in_file = [name for name in names if name in classes]
    if in_file != list(classes):
        raise UserError(
            f'{ann_file} lists its categories in the order {_some(in_file)}, the '
            f'config has {_some(classes)}: labels would be swapped; use the order of '
            f'the file'
        )
    if not content.get('images'):
        raise UserError(f'{ann_file} holds no images')


def check_channels(cfg: Config) -> None:
    """Raise UserError unless what follows a ConvNeXt expects its channels."""
    backbone = cfg.model.get('backbone') or {}
    if not is_ours(backbone):
        return
    arch = backbone.get('arch', 'tiny')
    _, channels = parse_arch(arch)
    default = tuple(range(len(channels)))
    indices = parse_out_indices(backbone.get('out_indices', default), len(channels))
    emitted = [channels[i] for i in indices]
    names = ('neck',) if cfg.model.get('neck') else ('decode_head', 'auxiliary_head')
    for name in names:
        part = cfg.model.get(name)
        if not isinstance(part, dict) or 'in_channels' not in part:
            continue
        given = part['in_channels']
        expected: list[int] | int = emitted
        index = part.get('in_index')
        if isinstance(index, list | tuple):
            expected = [emitted[i] for i in index if i < len(emitted)]
        elif name != 'neck' and isinstance(given, int):
            expected = emitted[-1 if index is None else index]
        given = list(given) if isinstance(given, list | tuple) else given
        if type(given) is type(expected) and given != expected:
            raise UserError(
                f'model.{name} has in_channels={given}, but the backbone (arch '
                f'{arch!r}) emits {expected}: set model.{name}.in_channels={expected}'
            )


def check_ops(cfg: Config) -> None:
    """Raise UserError when a model needs compiled ops on a GPU and there are none.

    On a CPU mmcv computes deformable attention in Python.
    """
    needed = sorted(DEFORMABLE.intersection(iter_types(cfg.model)))
    if needed and torch.cuda.is_available() and mmcv_ext.is_served():
        raise UserError(
            f'{", ".join(needed)} has deformable attention, which on a GPU needs the '
            f'compiled ops of mmcv, and mmcv was installed without: run make mmcv-ops '
            f'(20 minutes on two cores)'
        )


def _some(names: list[str] | tuple[str, ...], limit: int = 8) -> str:
    more = f', ... ({len(names)} in all)' if len(names) > limit else ''
    return ', '.join(map(str, names[:limit])) + more
