"""Checks of a config before anything is built: data paths, classes, channels.

Each of them is an error that would otherwise surface after minutes, as a shape
mismatch in a traceback, or never, as a model that learns nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope, init_default_scope

from convnext_backbone import mmcv_ops
from convnext_backbone.archs import parse_arch, parse_out_indices

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
        ValueError: Something is missing or does not match; the message names it,
            what was expected, and the fix.
    """
    loaders = [key for key in cfg if key.endswith('_dataloader')]
    if not isinstance(cfg.get('model'), dict) or not loaders:
        raise ValueError(
            f'config {cfg.filename} has no {"data" if cfg.get("model") else "model"}: '
            f'give a config that stands beside _base_, not one of its parts'
        )
    check_channels(cfg)
    check_ops(cfg)
    for split in splits:
        for dataset in iter_datasets(cfg.get(f'{split}_dataloader')):
            check_paths(dataset, split, cfg.get('data_root'))
            check_classes(cfg, dataset, split)


def iter_datasets(node: object) -> Iterator[dict]:
    """Yield the data set configs inside a data loader's, unwrapping wrappers."""
    if isinstance(node, dict):
        if 'data_prefix' in node or 'ann_file' in node:
            yield node
        else:
            for key in ('dataset', 'datasets'):
                yield from iter_datasets(node.get(key))
    elif isinstance(node, list | tuple):
        for item in node:
            yield from iter_datasets(item)


def check_paths(dataset: dict, split: str, data_root: str | None) -> None:
    """Raise ValueError unless a data set's annotation file and folders exist."""
    if dataset.get('backend_args'):  # not on this machine
        return
    root = Path(dataset.get('data_root') or '')
    prefixes = dict(dataset.get('data_prefix') or {})
    for path in (dataset.get('ann_file'), *prefixes.values()):
        if not isinstance(path, str) or not path or '://' in path:
            continue
        if not (root / path).exists():
            state = 'holds no' if root.is_dir() else 'does not exist: expected in it'
            raise ValueError(
                f'{split} data: {root or "."} {state} {path}; give the folder that '
                f'holds it with --data-root (the config says {data_root!r})'
            )
    folder = prefixes.get('img_path')  # mmseg lists it by suffix, in silence
    if folder and not dataset.get('ann_file'):
        suffix = dataset.get('img_suffix', '.jpg')
        if not any(str(p).endswith(suffix) for p in (root / folder).rglob('*')):
            raise ValueError(
                f'{split} data: {root / folder} holds no *{suffix}: set img_suffix in '
                f'the data set'
            )


def check_classes(cfg: Config, dataset: dict, split: str) -> None:
    """Raise ValueError unless heads, data set and annotations agree on classes."""
    classes = dataset_classes(cfg, dataset)
    if classes is None:
        return
    for name, head in iter_heads(cfg.model):
        if head['num_classes'] != len(classes):
            raise ValueError(
                f'model.{name} has num_classes={head["num_classes"]}, but the {split} '
                f'data set has {len(classes)} classes ({_some(classes)}): set '
                f'num_classes={len(classes)} there, or the classes with metainfo='
                f'dict(classes=(...)) in the data set'
            )
    if 'Coco' in str(dataset.get('type')) and isinstance(dataset.get('ann_file'), str):
        ann_file = Path(dataset.get('data_root') or '', dataset['ann_file'])
        if ann_file.is_file() and ann_file.stat().st_size <= MAX_JSON_BYTES:
            check_categories(ann_file, classes)


def check_categories(ann_file: Path, classes: tuple[str, ...]) -> None:
    """Compare a COCO json's categories with the classes of the data set.

    mmdet selects categories by name and numbers them in the order of the file, so
    a missing name shifts, and another order permutes, all labels without a word.

    Raises:
        ValueError: A class is not in the file, the file holds nothing of the
            classes, or the order differs.
    """
    try:
        content = json.loads(ann_file.read_text(encoding='utf-8'))
        names = [category['name'] for category in content['categories']]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{ann_file} is not a COCO json with categories: {error!r}'
        ) from error
    missing = [name for name in classes if name not in names]
    if missing:
        raise ValueError(
            f'{ann_file} has no category {_some(missing)}; it has {_some(names)}: '
            f'write the classes of the config (metainfo) as they are in the file'
        )
    in_file = [name for name in names if name in classes]
    if in_file != list(classes):
        raise ValueError(
            f'{ann_file} lists its categories in the order {_some(in_file)}, the '
            f'config has {_some(classes)}: labels would be swapped; use the order of '
            f'the file'
        )
    if not content.get('images'):
        raise ValueError(f'{ann_file} holds no images')


def dataset_classes(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """Return the class names of a data set config, None if it leaves them open.

    Raises:
        ValueError: The names are a string that is no file of names.
    """
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        if not Path(classes).is_file():
            raise ValueError(
                f'metainfo has classes={classes!r}: write a tuple, ({classes!r},), or '
                f'the path of a file with one name a line'
            )
        return tuple(Path(classes).read_text(encoding='utf-8').splitlines())
    if classes is None:
        classes = getattr(_dataset_type(cfg, dataset), 'METAINFO', {}).get('classes')
    return tuple(classes) if classes else None


def _dataset_type(cfg: Config, dataset: dict) -> type | None:
    dataset_type = dataset.get('type')
    if not isinstance(dataset_type, str):
        return dataset_type
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    scope = DefaultScope.get_current_instance().scope_name
    with DATASETS.switch_scope_and_registry(scope) as registry:
        return registry.get(dataset_type)


def iter_heads(node: object, name: str = '') -> Iterator[tuple[str, dict]]:
    """Yield (dotted name, config) of each head that predicts the data set's classes.

    Not of heads with a count of their own: a one-stage detector as RPN, HTC's
    semantic branch, STDC's boundary head.
    """
    if isinstance(node, dict):
        if isinstance(node.get('num_classes'), int) and node.get('type') != 'STDCHead':
            yield name, node
        for key, value in node.items():
            if key not in ('rpn_head', 'semantic_head'):
                yield from iter_heads(value, f'{name}.{key}' if name else key)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from iter_heads(value, f'{name}.{i}')


def check_channels(cfg: Config) -> None:
    """Raise ValueError unless what follows a ConvNeXt expects its channels."""
    backbone = cfg.model.get('backbone') or {}
    if backbone.get('type') not in ('ConvNeXt', 'convnext_backbone.ConvNeXt'):
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
        given, expected = part['in_channels'], emitted
        index = part.get('in_index')
        if isinstance(index, list | tuple):
            expected = [emitted[i] for i in index if i < len(emitted)]
        elif name != 'neck' and isinstance(given, int):
            expected = emitted[-1 if index is None else index]
        given = list(given) if isinstance(given, list | tuple) else given
        if type(given) is type(expected) and given != expected:
            raise ValueError(
                f'model.{name} has in_channels={given}, but the backbone (arch '
                f'{arch!r}) emits {expected}: set model.{name}.in_channels={expected}'
            )


def check_ops(cfg: Config) -> None:
    """Raise ValueError when a model needs compiled ops on a GPU and there are none.

    On a CPU mmcv computes deformable attention in Python.
    """
    needed = sorted(DEFORMABLE.intersection(iter_types(cfg.model)))
    if needed and torch.cuda.is_available() and mmcv_ops.is_served():
        raise ValueError(
            f'{", ".join(needed)} has deformable attention, which on a GPU needs the '
            f'compiled ops of mmcv, and mmcv was installed without: run make mmcv-ops '
            f'(20 minutes on two cores)'
        )


def iter_types(node: object) -> Iterator[str]:
    """Yield the name of every type in a config, without its scope."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type'].rpartition('.')[2]
        for value in node.values():
            yield from iter_types(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from iter_types(item)


def _some(names: list[str] | tuple[str, ...], limit: int = 8) -> str:
    more = f', ... ({len(names)} in all)' if len(names) > limit else ''
    return ', '.join(map(str, names[:limit])) + more
