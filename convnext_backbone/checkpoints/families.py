"""Finds the ConvNeXt in a checkpoint, whoever wrote it, by its keys."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from convnext_backbone.backbone.archs import ARCHS
from convnext_backbone.checkpoints.keymaps import to_our_shape, to_ours
from convnext_backbone.checkpoints.sources import name_part
from convnext_backbone.foundation.errors import UserError

# What training scripts call the weights, in the order of preference. Averaged
# weights are taken where there are no others, or when they are asked for.
ENTRIES = ('state_dict', 'model', 'model_state_dict', 'module', 'net', 'student')
EMA_ENTRIES = ('model_ema', 'state_dict_ema', 'ema_state_dict', 'ema', 'teacher')
EMA_PREFIX = re.compile(r'(?:^|\.)(?:teacher|ema\w*|\w+_ema)\.')

# A block's depthwise weight, which every family calls by another name.
ANCHORS = {
    'timm': r'stages\.\d+\.blocks\.\d+\.conv_dw\.weight',
    'hf': r'encoder\.stages\.\d+\.layers\.\d+\.dwconv\.weight',
    'torchvision': r'features\.\d*[13579]\.\d+\.block\.0\.weight',
    'mmpretrain': r'stages\.\d+\.\d+\.depthwise_conv\.weight',
    'fcmae': r'stages\.\d+\.\d+\.dwconv\.kernel',
    'meta': r'stages\.\d+\.\d+\.dwconv\.weight',
}
WRAPPERS = re.compile(r'^(?:module|_orig_mod)\.')
DETECTOR_PARTS = {'rpn_head', 'roi_head', 'bbox_head', 'mask_head', 'panoptic_head'}
SEGMENTOR_PARTS = {'decode_head', 'auxiliary_head'}
STAGE_NORM = re.compile(r'norm(\d+)\.')


@dataclass(frozen=True)
class Weights:
    """A checkpoint's weights under the names and in the shapes of ours.

    Attributes:
        family: Who names weights so: a key of :data:`ANCHORS`, or 'ours'.
        kind: 'classifier', 'backbone', 'detector', 'segmentor' or, with other parts
            beside the backbone, 'model'.
        backbone: The ConvNeXt's weights, without prefix; ``norm`` and ``head`` of a
            classifier are among them.
        others: What else the file holds, necks and heads, under the file's names.
        prefix: What stands before the backbone's names in the file.
        unknown: Names inside the backbone that its family does not have, without
            the prefix.
        ignored: Names of what is not taken: another copy, or not of the part.
        reshaped: Our names of weights whose shape was changed, with the old shape.
    """

    family: str
    kind: str
    backbone: dict[str, Tensor]
    others: dict[str, Tensor] = field(default_factory=dict)
    prefix: str = ''
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    reshaped: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether there is a model around the backbone."""
        return self.kind not in ('classifier', 'backbone')

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of each stage, as far as the file tells."""
        blocks = self._blocks()
        stages = 1 + max((i for i, _ in blocks), default=-1)
        return tuple(
            1 + max((j for i, j in blocks if i == stage), default=-1)
            for stage in range(stages)
        )

    @property
    def channels(self) -> tuple[int, ...]:
        """Width of each stage, 0 where the file does not tell."""
        widths = [0] * len(self.depths)
        for key, tensor in self.backbone.items():
            match = re.match(r'stages\.(\d+)\.\d+\.dwconv\.', key)
            if match and tensor.ndim:
                widths[int(match[1])] = tensor.shape[0]
        return tuple(widths)

    @property
    def has_gaps(self) -> bool:
        """Whether blocks, or weights of some blocks, are missing in between."""
        blocks = self._blocks()
        leaves = {frozenset(names) for names in blocks.values()}
        return len(blocks) < sum(self.depths) or len(leaves) > 1 or 0 in self.depths

    @property
    def arch(self) -> str:
        """Name of the arch in :data:`ARCHS`, or its depths and channels."""
        return name_arch(self.depths, self.channels)

    @property
    def version(self) -> str:
        """'V2' with GRN, else 'V1'."""
        return 'V2' if any('.grn.' in key for key in self.backbone) else 'V1'

    def _blocks(self) -> dict[tuple[int, int], set[str]]:
        """Return the names of the weights of each block (stage, number)."""
        blocks: dict[tuple[int, int], set[str]] = {}
        for key in self.backbone:
            match = re.match(r'stages\.(\d+)\.(\d+)\.(.+)', key)
            if match:
                blocks.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
        return blocks


def name_arch(depths: tuple[int, ...], channels: tuple[int, ...]) -> str:
    """Return an arch's name, or how to write one that has none."""
    for name, arch in ARCHS.items():
        if arch == dict(depths=depths, channels=channels):
            return name
    return f'dict(depths={depths}, channels={channels})'


def unwrap(
    checkpoint: Mapping, part: str | None, source: str
) -> tuple[Mapping[str, Tensor], str | None]:
    """Return the state dict inside a checkpoint.

    Args:
        checkpoint: What the file holds.
        part: Name of the entry to take, such as 'model_ema', and of the part of it,
            such as 'backbone'; joined by & where there are both.
        source: The checkpoint's name, for messages.

    Returns:
        The state dict, and the name in ``part`` that is not that of an entry.

    Raises:
        UserError: There is no state dict, several without a usual name, or nothing
            that is called ``part``.
    """
    state, names = checkpoint, part.split('&') if part else []
    while True:
        entry = next((n for n in names if isinstance(state.get(n), Mapping)), None)
        if entry is not None:
            names.remove(entry)
        else:
            entry = _usual_entry(state, source)
        if entry is None:
            break
        state = state[entry]
    strays = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strays or not all(isinstance(key, str) for key in state):
        raise UserError(
            f'checkpoint {source} holds no state dict under a usual name, its entries '
            f'are {_list(state)}: say which one to take, as in '
            f'{name_part(source, "ENTRY")}'
        )
    known = [n for n in names if any(key.startswith(f'{n}.') for key in state)]
    if len(names) > 1 or names != known:
        raise UserError(
            f'checkpoint {source} has nothing called {" in ".join(names[::-1])!r}: its '
            f'entries are {_list(checkpoint)}, the names in it begin with '
            f'{_list({key.split(".")[0] for key in state})}'
        )
    return state, names[0] if names else None


def _usual_entry(state: Mapping, source: str) -> str | None:
    usual = [name for name in ENTRIES if isinstance(state.get(name), Mapping)]
    averaged = [name for name in EMA_ENTRIES if isinstance(state.get(name), Mapping)]
    if not usual and len(averaged) > 1:
        raise UserError(
            f'checkpoint {source} holds {", ".join(averaged)}: say which one to take, '
            f'as in {name_part(source, averaged[0])}'
        )
    return next(iter(usual + averaged), None)


def _list(names: Collection[object], limit: int = 8) -> str:
    """Write the first few names, or that there are none."""
    shown = ', '.join(str(name) for name in list(names)[:limit])
    return f'{shown}, ...' if len(names) > limit else shown or 'none'


def parse(
    state: Mapping[str, Tensor],
    part: str | None,
    source: str,
    own_prefixes: Collection[str] = (),
    own_names: Collection[str] = (),
) -> Weights:
    """Recognise whose names a state dict has, and translate them to ours.

    Args:
        state: Names and weights.
        part: Take the ConvNeXt whose names begin with this, and nothing beside it.
        source: The checkpoint's name, for messages.
        own_prefixes: What stands before the backbone's names in the model to fill.
        own_names: The names of all weights of that model.

    Raises:
        UserError: There is no ConvNeXt in it, or more than one.
    """
    while state and all(WRAPPERS.match(key) for key in state):
        state = {WRAPPERS.sub('', key): value for key, value in state.items()}
    family, prefix = _find_backbone(state, part, source, own_prefixes)
    inside = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    outside = {k: v for k, v in state.items() if not k.startswith(prefix)}
    outer = ''  # of student.backbone. and the like
    if prefix.endswith('.backbone.') and prefix not in own_prefixes:
        outer = prefix.removesuffix('backbone.')
    others = {
        key.removeprefix(outer): value
        for key, value in outside.items()
        if key.startswith(outer) and part is None
    }
    ignored = [k for k in outside if not k.startswith(outer) or part is not None]
    kind = _kind(others, own_names)
    table = family
    if family == 'hf':
        inside = {re.sub(r'^convnext(v2)?\.', '', k): v for k, v in inside.items()}
    elif family == 'mmpretrain':
        if (
            kind in ('detector', 'segmentor')
            or part is not None
            or any(f'norm{i}.weight' in inside for i in range(3))
        ):
            table = 'mmpretrain_dense'
        else:  # head.fc stands beside the backbone
            kind = 'classifier'
            inside |= {k: v for k, v in others.items() if k.startswith('head.fc.')}
            others = {k: v for k, v in others.items() if k not in inside}
    backbone, unknown, reshaped = {}, [], {}
    for key, value in inside.items():
        ours = to_ours(key, table)
        if ours is None:
            unknown.append(key)
            continue
        backbone[ours] = to_our_shape(ours, value)
        if backbone[ours].shape != value.shape:
            reshaped[ours] = tuple(value.shape)
    if family == 'meta' and kind == 'backbone' and has_stage_norms(backbone):
        family = 'ours'
    if kind == 'backbone' and 'norm.weight' in backbone:
        kind = 'classifier'
    return Weights(
        family=family,
        kind=kind,
        backbone=backbone,
        others=others,
        prefix=prefix,
        unknown=tuple(unknown),
        ignored=tuple(ignored),
        reshaped=reshaped,
    )


def _find_backbone(
    state: Mapping[str, Tensor],
    part: str | None,
    source: str,
    own_prefixes: Collection[str],
) -> tuple[str, str]:
    """Return the family and the prefix of the one ConvNeXt in a state dict."""
    found: dict[tuple[str, str], str] = {}  # what it is -> its prefix in the file
    for key in state:
        for family, anchor in ANCHORS.items():
            match = re.fullmatch(rf'((?:.*\.)?){anchor}', key)
            if match:
                stripped = re.sub(r'convnext(v2)?\.$', '', match[1])
                found[family, stripped if family == 'hf' else match[1]] = match[1]
    if part is not None:
        found = {k: full for k, full in found.items() if full.startswith(f'{part}.')}
    plain = {k: full for k, full in found.items() if not EMA_PREFIX.search(full)}
    mine = {k: full for k, full in found.items() if k[1] in own_prefixes}
    found = plain or found
    if len(found) > 1 and len(mine) == 1 and part is None:
        found = mine
    if not found:
        within = f' whose names begin with {part}.' if part else ''
        raise UserError(
            f'checkpoint {source} holds no ConvNeXt{within}: it has {outline(state)}; '
            f'names of Meta, timm, Hugging Face, torchvision and mmpretrain are known'
        )
    if len(found) > 1:
        named = [full.rstrip('.') for full in found.values() if full]
        raise UserError(
            f'checkpoint {source} holds {len(found)} ConvNeXts, their names begin with '
            f'{", ".join(full or "nothing" for full in found.values())}: say which one '
            f'to take, as in {name_part(source, named[0])}'
        )
    return next(iter(found))


def _kind(others: Mapping[str, Tensor], own_names: Collection[str]) -> str:
    """Tell what a checkpoint is by what it holds beside the backbone."""
    parts = {key.split('.')[0] for key in others}
    if parts & DETECTOR_PARTS:
        return 'detector'
    if parts & SEGMENTOR_PARTS:
        return 'segmentor'
    known = 'neck' in parts or not others.keys().isdisjoint(own_names)
    return 'model' if known else 'backbone'


def has_stage_norms(backbone: Mapping[str, Tensor]) -> bool:
    """Whether there are norms of single stages, as dense prediction has them."""
    return any(STAGE_NORM.match(key) for key in backbone)


def outline(state: Mapping[str, object]) -> str:
    """Describe a state dict by how its names begin, most common first."""
    if not state:
        return 'nothing'
    parts = Counter('.'.join(key.split('.')[:2]) for key in state)
    most = ', '.join(part for part, _ in parts.most_common(4))
    return f'{len(state)} keys such as {most}'
