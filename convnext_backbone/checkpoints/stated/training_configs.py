"""What the config of the training states, which mmengine and mmcv store as text."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from convnext_backbone.checkpoints.safe_reading.embedded_configs import plain_values
from convnext_backbone.checkpoints.stated.values import (
    Stated,
    channels,
    merge,
    number,
    text,
)

# mmcv's and torch's names of layers.
ACTS = MappingProxyType(
    {
        'GELU': 'gelu',
        'QuickGELU': 'quick_gelu',
        'ReLU': 'relu',
        'SiLU': 'silu',
        'Swish': 'silu',
    }
)
NORM_EPS = 1e-6  # of every ConvNeXt that states none
BUILD_NORM_EPS = 1e-5  # of mmcv's build_norm_layer, where norm_cfg states none


def from_meta(meta: Mapping) -> Stated:
    """Read the config in a file's ``meta``: as data, without running it."""
    stored = meta.get('cfg', meta.get('config'))  # mmengine's name, mmcv's name
    if not isinstance(stored, str):
        return Stated()
    values = plain_values(stored)
    found = {(_act(b), _norm_eps(b)) for b in _convnexts(values.get('model'))}
    act, eps = found.pop() if len(found) == 1 else (None, None)
    model = values.get('model')
    images = merge(
        Stated(mean=channels(cfg.get('mean')), std=channels(cfg.get('std')))
        for cfg in (
            model.get('data_preprocessor') if isinstance(model, Mapping) else None,
            values.get('data_preprocessor'),
            values.get('img_norm_cfg'),  # before mmengine
        )
        if isinstance(cfg, Mapping)
    )
    origin = "the training's config in the file"
    return Stated(act, eps, images.mean, images.std, origin)


def _convnexts(node: object) -> Iterator[Mapping]:
    """Yield the config of each ConvNeXt, whoever's, in a model's."""
    if isinstance(node, Mapping):
        kind = node.get('type')
        if isinstance(kind, str) and kind.rpartition('.')[2] == 'ConvNeXt':
            yield node
        for value in node.values():
            yield from _convnexts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _convnexts(value)


def _act(backbone: Mapping) -> str | None:
    """Return the activation: ours by ``act``, mmpretrain's by ``act_cfg``."""
    if 'act' in backbone:
        return text(backbone['act'])
    act_cfg = backbone.get('act_cfg')
    if not isinstance(act_cfg, Mapping):
        return 'gelu'
    kind = str(act_cfg.get('type')).rpartition('.')[2]
    if kind == 'GELU' and act_cfg.get('approximate') == 'tanh':
        return 'gelu_tanh'
    return ACTS.get(kind, kind)


def _norm_eps(backbone: Mapping) -> float | None:
    """Return the eps: ours by ``norm_eps``, mmpretrain's by ``norm_cfg``."""
    if 'norm_eps' in backbone:
        return number(backbone['norm_eps'])
    norm_cfg = backbone.get('norm_cfg')
    if not isinstance(norm_cfg, Mapping):
        return NORM_EPS
    return number(norm_cfg.get('eps', BUILD_NORM_EPS))
