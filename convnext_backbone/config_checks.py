"""Checks of a config before anything is built: data paths, classes, channels.

Each of them is an error that would otherwise surface after minutes, as a shape
mismatch in a traceback, or never, as a model that learns nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope

from convnext_backbone.convnext import parse_arch

# The classes of larger files are checked when the data set is loaded: parsing
# COCO's train2017 twice would cost a quarter of a minute at every start.
MAX_JSON_BYTES = 100_000_000


def check_config(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check the parts of a config that have to agree.

    Args:
        cfg: The config, overrides applied.
        splits: The data loaders to check, of 'train', 'val' and 'test'.

    Raises:
        ValueError: Something is missing or does not match; the message names it,
            what was expected, and the fix.
    """
    check_channels(cfg)
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
    root = Path(dataset.get('data_root') or '')
    expected = [dataset.get('ann_file')]
    expected += dict(dataset.get('data_prefix') or {}).values()
    for path in filter(None, expected):
        if not (root / path).exists():
            state = 'holds no' if root.is_dir() else 'does not exist: expected in it'
            raise ValueError(
                f'{split} data: {root or "."} {state} {path}; give the folder that '
                f'holds it with --data-root (the config says {data_root!r})'
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
    ann_file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if ann_file.suffix == '.json' and ann_file.stat().st_size <= MAX_JSON_BYTES:
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
    """Return the class names of a data set config, None if it leaves them open."""
    metainfo = dataset.get('metainfo') or {}
    if 'classes' in metainfo:
        classes = metainfo['classes']
        return (classes,) if isinstance(classes, str) else tuple(classes)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    from mmengine.registry import DATASETS

    scope = DefaultScope.get_current_instance().scope_name
    with DATASETS.switch_scope_and_registry(scope) as registry:
        dataset_type = registry.get(dataset['type'])
    classes = getattr(dataset_type, 'METAINFO', {}).get('classes')
    return tuple(classes) if classes else None


def iter_heads(node: object, name: str = '') -> Iterator[tuple[str, dict]]:
    """Yield (dotted name, config) of everything in a model with a class count."""
    if isinstance(node, dict):
        if isinstance(node.get('num_classes'), int):
            yield name, node
        for key, value in node.items():
            yield from iter_heads(value, f'{name}.{key}' if name else key)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from iter_heads(value, f'{name}.{i}')


def check_channels(cfg: Config) -> None:
    """Raise ValueError unless what follows a ConvNeXt expects its channels."""
    backbone = cfg.model.get('backbone', {})
    if backbone.get('type') not in ('ConvNeXt', 'convnext_backbone.ConvNeXt'):
        return
    _, channels = parse_arch(backbone.get('arch', 'tiny'))
    emitted = [channels[i] for i in backbone.get('out_indices', range(len(channels)))]
    name = 'neck' if cfg.model.get('neck') else 'decode_head'
    part = cfg.model.get(name)
    given = part.get('in_channels') if isinstance(part, dict) else None
    index = part.get('in_index') if isinstance(part, dict) else None
    if isinstance(index, list | tuple) and all(i < len(emitted) for i in index):
        emitted = [emitted[i] for i in index]
    if isinstance(given, list | tuple) and list(given) != emitted:
        raise ValueError(
            f'model.{name} has in_channels={list(given)}, but the backbone (arch '
            f'{backbone.get("arch", "tiny")!r}) emits {emitted}: set '
            f'model.{name}.in_channels={emitted}'
        )


def _some(names: list[str] | tuple[str, ...], limit: int = 8) -> str:
    more = f', ... ({len(names)} in all)' if len(names) > limit else ''
    return ', '.join(map(str, names[:limit])) + more
