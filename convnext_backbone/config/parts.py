"""Finds the parts of a config: data sets, heads, backbones, types."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope, init_default_scope

from convnext_backbone.foundation.errors import UserError

OURS = ('ConvNeXt', 'convnext_backbone.ConvNeXt')


def is_ours(backbone: dict | None) -> bool:
    """Tell whether a backbone's config is that of our ConvNeXt."""
    return (backbone or {}).get('type') in OURS


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


def dataset_classes(cfg: Config, dataset: dict) -> tuple[str, ...] | None:
    """Return the class names of a data set config, None if it leaves them open.

    Raises:
        UserError: The names are a string that is no file of names.
    """
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        if not Path(classes).is_file():
            raise UserError(
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
