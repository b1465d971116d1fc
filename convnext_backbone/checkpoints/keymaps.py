"""The key names of every family of ConvNeXt checkpoints, one table each.

A table maps a family's names to ours, which are those of Meta's repositories; the
inverse is derived. Sources: facebookresearch/ConvNeXt and ConvNeXt-V2 (meta,
fcmae), timm ``models/convnext.py``, transformers ``models/convnext`` and
``models/convnextv2``, torchvision ``models/convnext.py``, mmpretrain
``models/backbones/convnext.py``.

Placeholders: ``{i}`` a stage, ``{j}`` a position in it, ``{k}`` 1 or 2, ``{p}``
weight or bias, ``{g}`` gamma or beta; ``{odd}`` is 2i + 1, ``{even}`` 2i and
``{next}`` i + 1.
"""

import re
from collections.abc import Callable
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

# Names below are those of a backbone with a classifier's ``norm`` and ``head``, or
# with the stage norms ``norm{i}`` of dense prediction.
OURS = (
    'downsample_layers.{i}.{j}.{p}',
    'stages.{i}.{j}.dwconv.{p}',
    'stages.{i}.{j}.norm.{p}',
    'stages.{i}.{j}.pwconv{k}.{p}',
    'stages.{i}.{j}.grn.{g}',
    'stages.{i}.{j}.gamma',
    'norm{i}.{p}',
    'norm.{p}',
    'head.{p}',
)
META = {name: name for name in OURS}
# MinkowskiEngine's layers as FCMAE's encoder holds them during pretraining.
FCMAE = {
    'downsample_layers.0.{j}.{p}': 'downsample_layers.0.{j}.{p}',
    'downsample_layers.{i}.0.ln.{p}': 'downsample_layers.{i}.0.{p}',
    'downsample_layers.{i}.1.kernel': 'downsample_layers.{i}.1.weight',
    'downsample_layers.{i}.1.bias': 'downsample_layers.{i}.1.bias',
    'stages.{i}.{j}.dwconv.kernel': 'stages.{i}.{j}.dwconv.weight',
    'stages.{i}.{j}.dwconv.bias': 'stages.{i}.{j}.dwconv.bias',
    'stages.{i}.{j}.norm.ln.{p}': 'stages.{i}.{j}.norm.{p}',
    'stages.{i}.{j}.pwconv{k}.linear.{p}': 'stages.{i}.{j}.pwconv{k}.{p}',
    'stages.{i}.{j}.grn.{g}': 'stages.{i}.{j}.grn.{g}',
}
TIMM = {
    'stem.{j}.{p}': 'downsample_layers.0.{j}.{p}',
    'stages.{i}.downsample.{j}.{p}': 'downsample_layers.{i}.{j}.{p}',
    'stages.{i}.blocks.{j}.conv_dw.{p}': 'stages.{i}.{j}.dwconv.{p}',
    'stages.{i}.blocks.{j}.norm.{p}': 'stages.{i}.{j}.norm.{p}',
    'stages.{i}.blocks.{j}.mlp.fc{k}.{p}': 'stages.{i}.{j}.pwconv{k}.{p}',
    'stages.{i}.blocks.{j}.mlp.grn.weight': 'stages.{i}.{j}.grn.gamma',
    'stages.{i}.blocks.{j}.mlp.grn.bias': 'stages.{i}.{j}.grn.beta',
    'stages.{i}.blocks.{j}.gamma': 'stages.{i}.{j}.gamma',
    'head.norm.{p}': 'norm.{p}',
    'head.fc.{p}': 'head.{p}',
}
HF = {
    'embeddings.patch_embeddings.{p}': 'downsample_layers.0.0.{p}',
    'embeddings.layernorm.{p}': 'downsample_layers.0.1.{p}',
    'encoder.stages.{i}.downsampling_layer.{j}.{p}': 'downsample_layers.{i}.{j}.{p}',
    'encoder.stages.{i}.layers.{j}.dwconv.{p}': 'stages.{i}.{j}.dwconv.{p}',
    'encoder.stages.{i}.layers.{j}.layernorm.{p}': 'stages.{i}.{j}.norm.{p}',
    'encoder.stages.{i}.layers.{j}.pwconv{k}.{p}': 'stages.{i}.{j}.pwconv{k}.{p}',
    'encoder.stages.{i}.layers.{j}.grn.weight': 'stages.{i}.{j}.grn.gamma',
    'encoder.stages.{i}.layers.{j}.grn.bias': 'stages.{i}.{j}.grn.beta',
    'encoder.stages.{i}.layers.{j}.layer_scale_parameter': 'stages.{i}.{j}.gamma',
    'hidden_states_norms.stage{next}.{p}': 'norm{i}.{p}',
    'layernorm.{p}': 'norm.{p}',
    'classifier.{p}': 'head.{p}',
}
TORCHVISION = {
    'features.{even}.{j}.{p}': 'downsample_layers.{i}.{j}.{p}',
    'features.{odd}.{j}.block.0.{p}': 'stages.{i}.{j}.dwconv.{p}',
    'features.{odd}.{j}.block.2.{p}': 'stages.{i}.{j}.norm.{p}',
    'features.{odd}.{j}.block.3.{p}': 'stages.{i}.{j}.pwconv1.{p}',
    'features.{odd}.{j}.block.5.{p}': 'stages.{i}.{j}.pwconv2.{p}',
    'features.{odd}.{j}.layer_scale': 'stages.{i}.{j}.gamma',
    'classifier.0.{p}': 'norm.{p}',
    'classifier.2.{p}': 'head.{p}',
}
MMPRETRAIN_DENSE = {
    'downsample_layers.{i}.{j}.{p}': 'downsample_layers.{i}.{j}.{p}',
    'stages.{i}.{j}.depthwise_conv.{p}': 'stages.{i}.{j}.dwconv.{p}',
    'stages.{i}.{j}.norm.{p}': 'stages.{i}.{j}.norm.{p}',
    'stages.{i}.{j}.pointwise_conv{k}.{p}': 'stages.{i}.{j}.pwconv{k}.{p}',
    'stages.{i}.{j}.grn.{g}': 'stages.{i}.{j}.grn.{g}',
    'stages.{i}.{j}.gamma': 'stages.{i}.{j}.gamma',
    'norm{i}.{p}': 'norm{i}.{p}',
}
# mmpretrain names the classifier's last norm as that of stage 3.
MMPRETRAIN = {
    'norm3.{p}': 'norm.{p}',
    'head.fc.{p}': 'head.{p}',
    **{k: v for k, v in MMPRETRAIN_DENSE.items() if k != 'norm{i}.{p}'},
}
TABLES = MappingProxyType(
    {
        'meta': META,
        'fcmae': FCMAE,
        'timm': TIMM,
        'hf': HF,
        'torchvision': TORCHVISION,
        'mmpretrain': MMPRETRAIN,
        'mmpretrain_dense': MMPRETRAIN_DENSE,
    }
)

# What a family writes in another shape than ours.
SHAPES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    'timm': {'grn': torch.flatten},
    'mmpretrain': {'grn': torch.flatten},
    'mmpretrain_dense': {'grn': torch.flatten},
    'torchvision': {'gamma': lambda t: t[:, None, None]},  # (C,) -> (C, 1, 1)
}

_PLACEHOLDERS = {
    'i': r'\d+',
    'j': r'\d+',
    'k': '[12]',
    'p': 'weight|bias',
    'g': 'gamma|beta',
    'odd': r'\d*[13579]',
    'even': r'\d*[02468]',
    'next': r'[1-9]\d*',
}


def to_ours(key: str, table: str) -> str | None:
    """Translate a key of a family, without prefix, to ours; None if it has no place."""
    return _translate(key, tuple(TABLES[table].items()))


def from_ours(key: str, table: str) -> str | None:
    """Translate a key of ours to a family's; None if the family has no place for it."""
    return _translate(
        key, tuple((ours, theirs) for theirs, ours in TABLES[table].items())
    )


def _translate(key: str, rows: tuple[tuple[str, str], ...]) -> str | None:
    for source, target in rows:
        match = _compile(source).fullmatch(key)
        if match:
            return target.format(**_complete(match.groupdict()))
    return None


@cache
def _compile(pattern: str) -> re.Pattern:
    parts = re.split(r'\{(\w+)\}', pattern)  # text, placeholder, text, ...
    for n in range(0, len(parts), 2):
        parts[n] = re.escape(parts[n])
    for n in range(1, len(parts), 2):
        parts[n] = f'(?P<{parts[n]}>{_PLACEHOLDERS[parts[n]]})'
    return re.compile(''.join(parts))


def _complete(values: dict[str, str]) -> dict[str, object]:
    """Add the stage index to a match that has its odd, even or next, or these to it."""
    if 'odd' in values:
        i = int(values['odd']) // 2
    elif 'even' in values:
        i = int(values['even']) // 2
    elif 'next' in values:
        i = int(values['next']) - 1
    elif 'i' in values:
        i = int(values['i'])
    else:
        return dict(values)
    return {**values, 'i': i, 'odd': 2 * i + 1, 'even': 2 * i, 'next': i + 1}


def to_our_shape(key: str, tensor: Tensor) -> Tensor:
    """Bring a weight of any family into the shape that ours has.

    Layer scale and biases become vectors, GRN's affine (1, 1, 1, 4C), 1x1
    convolutions matrices, and MinkowskiEngine's kernels, (k * k, C) and
    (k * k, in, out) with columns before rows, become those of convolutions.

    Args:
        key: The weight's name of ours.
        tensor: The weight as the file holds it.
    """
    leaf = key.split('.')[-1]
    if '.grn.' in key:
        return tensor.reshape(1, 1, 1, -1)
    if leaf in ('gamma', 'bias'):
        return tensor.reshape(-1)
    if '.pwconv' in key and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0]
    if leaf == 'weight' and tensor.ndim in (2, 3) and _is_conv(key):
        side = round(tensor.shape[0] ** 0.5)
        if side * side == tensor.shape[0]:
            depthwise = tensor[:, None, :] if tensor.ndim == 2 else tensor
            kernel = depthwise.permute(2, 1, 0)  # (k * k, in, out) -> (out, in, k * k)
            return kernel.unflatten(2, (side, side)).transpose(2, 3)
    return tensor


def _is_conv(key: str) -> bool:
    return '.dwconv.' in key or bool(re.match(r'downsample_layers\.[1-9]\d*\.1\.', key))


def to_their_shape(key: str, tensor: Tensor, table: str, conv_mlp: bool) -> Tensor:
    """Bring a weight of ours into the shape that a family writes.

    Args:
        key: The weight's name of ours.
        tensor: The weight in our shape.
        table: The family's name in :data:`TABLES`.
        conv_mlp: Write the two linears of a block as 1x1 convolutions.
    """
    if conv_mlp and '.pwconv' in key and key.endswith('weight'):
        return tensor[:, :, None, None]
    for part, reshape in SHAPES.get(table, {}).items():
        if part in key.split('.'):
            return reshape(tensor)
    return tensor
