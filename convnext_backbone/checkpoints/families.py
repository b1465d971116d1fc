"""Finds the ConvNeXt in a checkpoint, whoever wrote it, by its keys."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from convnext_backbone.archs import ARCHS
from convnext_backbone.checkpoints.keymaps import to_our_shape, to_ours

# What training scripts call the weights, in the order of preference. Averaged
# weights are taken where there are no others, or when they are asked for.
ENTRIES = ('state_dict', 'model', 'model_state_dict', 'module', 'net', 'student')
EMA_ENTRIES = ('model_ema', 'state_dict_ema', 'ema_state_dict', 'ema', 'teacher')
EMA_PREFIX = re.compile(r'(?:^|\.)(?:teacher|ema\w*|\w+_ema)\.')

# The first block's depthwise weight, which every family calls by another name.
ANCHORS = {
    'timm': r'stages\.0\.blocks\.0\.conv_dw\.weight',
    'hf': r'encoder\.stages\.0\.layers\.0\.dwconv\.weight',
    'torchvision': r'features\.1\.0\.block\.0\.weight',
    'mmpretrain': r'stages\.0\.0\.depthwise_conv\.weight',
    'fcmae': r'stages\.0\.0\.dwconv\.kernel',
    'meta': r'stages\.0\.0\.dwconv\.weight',
}
WRAPPERS = re.compile(r'^(?:module|_orig_mod)\.')
DETECTOR_PARTS = {
    'neck',
    'rpn_head',
    'roi_head',
    'bbox_head',
    'mask_head',
    'panoptic_head',
}
SEGMENTOR_PARTS = {'decode_head', 'auxiliary_head'}


@dataclass(frozen=True)
class Weights:
    """A checkpoint's weights under the names and in the shapes of ours.

    Attributes:
        family: Who names weights so: a key of :data:`ANCHORS`, or 'ours'.
        kind: 'classifier', 'backbone', 'detector' or 'segmentor'.
        backbone: The ConvNeXt's weights, without prefix; ``norm`` and ``head`` of a
            classifier are among them.
        others: What else the file holds, necks and heads, under the file's names.
        prefix: What stands before the backbone's names in the file.
        unknown: Names inside the backbone that its family does not have.
        reshaped: Our names of weights whose shape was changed, with the old shape.
    """

    family: str
    kind: str
    backbone: dict[str, Tensor]
    others: dict[str, Tensor] = field(default_factory=dict)
    prefix: str = ''
    unknown: tuple[str, ...] = ()
    reshaped: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        found = [re.match(r'stages\.(\d+)\.(\d+)\.', key) for key in self.backbone]
        blocks = {(int(m[1]), int(m[2])) for m in found if m}
        stages = 1 + max((i for i, _ in blocks), default=-1)
        return tuple(
            1 + max((j for i, j in blocks if i == s), default=-1) for s in range(stages)
        )

    @property
    def channels(self) -> tuple[int, ...]:
        """Width of each stage, 0 where the file does not tell."""
        widths = [0] * len(self.depths)
        for key, tensor in self.backbone.items():
            match = re.match(r'stages\.(\d+)\.\d+\.dwconv\.', key)
            if match:
                widths[int(match[1])] = tensor.shape[0]
        return tuple(widths)

    @property
    def arch(self) -> str:
        """Name of the arch in :data:`ARCHS`, or its depths and channels."""
        return name_arch(self.depths, self.channels)

    @property
    def use_grn(self) -> bool:
        """Whether these are weights of ConvNeXt V2."""
        return any('.grn.' in key for key in self.backbone)


def name_arch(depths: tuple[int, ...], channels: tuple[int, ...]) -> str:
    """Return an arch's name, or how to write one that has none."""
    for name, arch in ARCHS.items():
        if arch == dict(depths=depths, channels=channels):
            return name
    return f'dict(depths={depths}, channels={channels})'


def unwrap(
    checkpoint: Mapping, part: str | None, source: str
) -> tuple[Mapping, str | None]:
    """Return the state dict inside a checkpoint.

    Args:
        checkpoint: What the file holds.
        part: Name of the entry to take, such as 'model_ema', or None.
        source: The checkpoint's name, for messages.

    Returns:
        The state dict, and ``part`` unless it was the name of an entry.

    Raises:
        ValueError: The file holds several state dicts and none is the usual one.
    """
    if part is not None and isinstance(checkpoint.get(part), Mapping):
        return unwrap(checkpoint[part], None, source)
    for name in ENTRIES:
        if isinstance(checkpoint.get(name), Mapping):
            return unwrap(checkpoint[name], part, source)
    averaged = [n for n in EMA_ENTRIES if isinstance(checkpoint.get(n), Mapping)]
    if len(averaged) > 1:
        raise ValueError(
            f'checkpoint {source} holds {", ".join(averaged)}: say which one to take, '
            f'as in {source}#{averaged[0]}'
        )
    if averaged:
        return unwrap(checkpoint[averaged[0]], part, source)
    return checkpoint, part


def parse(state: Mapping[str, Tensor], part: str | None, source: str) -> Weights:
    """Recognise whose names a state dict has, and translate them to ours.

    Args:
        state: Names and weights.
        part: Take the ConvNeXt whose names begin with this, and nothing beside it.
        source: The checkpoint's name, for messages.

    Raises:
        ValueError: There is no ConvNeXt in it, or more than one.
    """
    while state and all(WRAPPERS.match(key) for key in state):
        state = {WRAPPERS.sub('', key): value for key, value in state.items()}
    family, prefix = _find_backbone(state, part, source)
    inside = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    outside = {k: v for k, v in state.items() if not k.startswith(prefix)}
    if part is not None:
        outside = {}
    outer = prefix.removesuffix('backbone.')  # of student.backbone. and the like
    outside = {
        k.removeprefix(outer): v for k, v in outside.items() if k.startswith(outer)
    }
    kind = _kind(prefix, outside)
    table = family
    if family == 'hf':
        inside = {re.sub(r'^convnext(v2)?\.', '', k): v for k, v in inside.items()}
    elif family == 'mmpretrain':
        if kind in ('detector', 'segmentor') or 'norm0.weight' in inside:
            table = 'mmpretrain_dense'
        else:  # head.fc stands beside the backbone
            inside, outside = {**inside, **outside}, {}
    backbone, unknown, reshaped = {}, [], {}
    for key, value in inside.items():
        ours = to_ours(key, table)
        if ours is None:
            unknown.append(prefix + key)
            continue
        backbone[ours] = to_our_shape(ours, value)
        if backbone[ours].shape != value.shape:
            reshaped[ours] = tuple(value.shape)
    if family == 'meta' and kind == 'backbone' and _has_stage_norms(backbone):
        family = 'ours'
    if kind == 'backbone' and 'norm.weight' in backbone:
        kind = 'classifier'
    return Weights(family, kind, backbone, outside, prefix, tuple(unknown), reshaped)


def _find_backbone(
    state: Mapping[str, Tensor], part: str | None, source: str
) -> tuple[str, str]:
    """Return the family and the prefix of the one ConvNeXt in a state dict."""
    found = [
        (family, re.sub(r'convnext(v2)?\.$', '', match[1]))
        for key in state
        for family, anchor in ANCHORS.items()
        if (match := re.fullmatch(rf'((?:.*\.)?){anchor}', key))
    ]
    if part is not None:
        found = [item for item in found if item[1].startswith(f'{part}.')]
        if not found:
            raise ValueError(
                f'checkpoint {source} has neither an entry {part!r} nor a ConvNeXt '
                f'whose names begin with {part!r}: it has {outline(state)}'
            )
    plain = [item for item in found if not EMA_PREFIX.search(item[1])]
    found = plain or found
    if not found:
        raise ValueError(
            f'checkpoint {source} holds no ConvNeXt: it has {outline(state)}; names of '
            f'Meta, timm, Hugging Face, torchvision and mmpretrain are known'
        )
    if len(found) > 1:
        first = found[0][1].rstrip('.')
        raise ValueError(
            f'checkpoint {source} holds {len(found)} ConvNeXts, '
            f'{", ".join(prefix for _, prefix in found)}: say which one to take, as in '
            f'{source}#{first}'
        )
    return found[0]


def _kind(prefix: str, others: Mapping[str, Tensor]) -> str:
    """Tell what a checkpoint is by what it holds beside the backbone."""
    parts = {key.split('.')[0] for key in others}
    if parts & SEGMENTOR_PARTS and not parts & (DETECTOR_PARTS - {'neck'}):
        return 'segmentor'
    if parts & DETECTOR_PARTS:
        return 'detector'
    return 'backbone'


def _has_stage_norms(backbone: Mapping[str, Tensor]) -> bool:
    return any(re.match(r'norm\d', key) for key in backbone)


def outline(state: Mapping[str, object]) -> str:
    """Describe a state dict by the first components of its names, most common first."""
    if not state:
        return 'nothing'
    parts = Counter('.'.join(str(key).split('.')[:2]) for key in state)
    most = ', '.join(part for part, _ in parts.most_common(4))
    return f'{len(state)} keys such as {most}'
