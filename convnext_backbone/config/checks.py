"""Checks of a config before anything is built: data paths, classes, channels.

Each of them is an error that would otherwise surface after minutes, as a shape
mismatch in a traceback, or never, as a model that learns nothing.
"""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

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
from convnext_backbone.openmmlab.class_order import compare_classes, list_names
from convnext_backbone.openmmlab.coco_labels import category_ids

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
        check_evaluator(cfg, split)
    for warning in check_order(cfg, splits):
        MMLogger.get_current_instance().warning(warning)


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
                f'data set has {len(classes)} classes ({list_names(classes)}): set '
                f'num_classes={len(classes)} there, or the classes with metainfo='
                f'dict(classes=(...)) in the data set'
            )
    if 'Coco' in str(dataset.get('type')) and isinstance(dataset.get('ann_file'), str):
        ann_file = Path(dataset.get('data_root') or '', dataset['ann_file'])
        if ann_file.is_file() and ann_file.stat().st_size <= MAX_JSON_BYTES:
            check_categories(ann_file, classes, 'Panoptic' in str(dataset['type']))


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


def check_order(cfg: Config, splits: tuple[str, ...]) -> list[str]:
    """Compare the classes of the data sets that a config trains and evaluates with.

    Args:
        cfg: The config.
        splits: The data loaders that are going to be used. They are compared with the
            training data, whether or not that is used.

    Returns:
        A warning for each data set whose names are others.

    Raises:
        UserError: A data set has the classes in another order.
    """
    named = [
        (split, classes)
        for split in dict.fromkeys(('train', *splits))
        for dataset in iter_datasets(cfg.get(f'{split}_dataloader'))
        if splits and (classes := dataset_classes(cfg, dataset)) is not None
    ]
    warnings = [
        compare_classes(
            named[0][1],
            classes,
            (f'the {named[0][0]} data of the config', f'its {split} data'),
            'write the same order into metainfo=dict(classes=(...)) of both: what a '
            'model learns has one order only (COCO files may list their categories '
            'in any order, they are found by name)',
        )
        for split, classes in named[1:]
    ]
    return list(dict.fromkeys(filter(None, warnings)))


def check_evaluator(cfg: Config, split: str) -> None:
    """Raise UserError unless COCO's metric has the annotations of the data set."""
    datasets = list(iter_datasets(cfg.get(f'{split}_dataloader')))
    metrics = cfg.get(f'{split}_evaluator') or []
    metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
    if len(datasets) != 1 or 'Coco' not in str(datasets[0].get('type')):
        return
    data = Path(datasets[0].get('data_root') or '', datasets[0].get('ann_file') or '')
    for number, metric in enumerate(metrics):
        if not str(metric.get('type')).endswith('CocoMetric'):
            continue
        truth = Path(metric.get('ann_file') or data)
        files = (data, truth)
        if any(not f.is_file() or f.stat().st_size > MAX_JSON_BYTES for f in files):
            continue
        if not truth.samefile(data) and _read_coco(truth) != _read_coco(data):
            key = f'{split}_evaluator{f".{number}" if len(metrics) > 1 else ""}'
            raise UserError(
                f'{key}.ann_file={truth} holds other images or objects than the '
                f'{split} data, {data}: predictions would be compared with objects '
                f'of other images; set {key}.ann_file={data}, or both to the same file'
            )


def _read_coco(ann_file: Path) -> dict:
    """Read what is evaluated of a COCO json."""
    try:
        content = json.loads(ann_file.read_text(encoding='utf-8'))
        keys = 'images', 'annotations', 'categories'
        return {key: content.get(key) for key in keys}
    except (ValueError, AttributeError) as error:
        raise UserError(f'{ann_file} is not a COCO json: {error!r}') from error


def check_categories(
    ann_file: Path, classes: tuple[str, ...], ordered: bool = False
) -> None:
    """Compare a COCO json's categories with the classes of the data set.

    Args:
        ann_file: The file.
        classes: The names of the classes, which select the categories.
        ordered: Whether labels are numbered in the order of the file, as mmdet does it
            for panoptic data; of other data they are numbered by name.

    Raises:
        UserError: A class is not in the file or has two categories, the order differs
            where it matters, or the file holds no images.
    """
    try:
        content = json.loads(ann_file.read_text(encoding='utf-8'))
        names = [category['name'] for category in content['categories']]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{ann_file} is not a COCO json with categories: {error!r}'
        ) from error
    category_ids(content['categories'], classes, str(ann_file))
    in_file = [name for name in names if name in classes]
    if ordered and in_file != list(classes):
        raise UserError(
            f'{ann_file} lists its categories in the order {list_names(in_file)}, the '
            f'config has {list_names(classes)}: labels would be swapped; write the '
            f'categories of the file in the order of the config'
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
