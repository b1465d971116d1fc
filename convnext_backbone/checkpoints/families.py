"""Finds the ConvNeXt in a checkpoint, whoever wrote it, by its keys."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from convnext_backbone.backbone.archs import ARCHS
from convnext_backbone.checkpoints.keymaps import to_our_shape, to_ours
from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.foundation.errors import UserError

# Before the names of averaged weights.
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
        last_norm: What ``norm3`` of mmpretrain was taken for, and why; None where its
            name says it.
    """

    family: str
    kind: str
    backbone: dict[str, Tensor]
    others: dict[str, Tensor] = field(default_factory=dict)
    prefix: str = ''
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    reshaped: dict[str, tuple[int, ...]] = field(default_factory=dict)
    last_norm: str | None = None

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


def parse(
    state: Mapping[str, Tensor],
    reference: CheckpointRef,
    own_prefixes: Collection[str] = (),
    own_names: Collection[str] = (),
) -> Weights:
    """Recognise whose names a state dict has, and translate them to ours.

    Args:
        state: Names and weights.
        reference: Where it came from; of a ``part``, the ConvNeXt whose names begin
            with it is taken, and nothing beside it.
        own_prefixes: What stands before the backbone's names in the model to fill.
        own_names: The names of all weights of that model.

    Raises:
        UserError: There is no ConvNeXt in it, or more than one.
    """
    part = reference.part
    while state and all(WRAPPERS.match(key) for key in state):
        state = {WRAPPERS.sub('', key): value for key, value in state.items()}
    family, prefix = _find_backbone(state, reference, own_prefixes)
    inside = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    others, ignored = _divide(state, prefix, part, own_prefixes)
    kind = _kind(others, own_names)
    table, last_norm = family, None
    if family == 'hf':
        inside = {re.sub(r'^convnext(v2)?\.', '', k): v for k, v in inside.items()}
    elif family == 'mmpretrain':
        beside = _beside(state, prefix, own_prefixes)
        table, last_norm = _read_last_norm(inside, beside)
        if table == 'mmpretrain':
            kind = 'classifier'
            inside |= {k: v for k, v in others.items() if k.startswith('head.fc.')}
            others = {k: v for k, v in others.items() if k not in inside}
    backbone, unknown, reshaped = _rename(inside, table)
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
        unknown=unknown,
        ignored=ignored,
        reshaped=reshaped,
        last_norm=last_norm,
    )


def _read_last_norm(
    inside: Mapping[str, Tensor], beside: Mapping[str, Tensor]
) -> tuple[str, str | None]:
    """Tell what ``norm3`` is in mmpretrain's names, which have it for two things.

    It is a classifier's last norm, which normalises pooled features, or the norm of
    the map of stage 3. What is beside the backbone decides, whether or not only the
    backbone is taken.

    Args:
        inside: The backbone's weights, without prefix.
        beside: All others of the same model.

    Returns:
        The table of names that holds, and what to say of the choice, None where
        ``norm3`` is not in the file or can be one thing only.
    """
    parts = {key.split('.')[0] for key in beside}
    dense = parts & (DETECTOR_PARTS | SEGMENTOR_PARTS)
    if dense or any(f'norm{i}.weight' in inside for i in range(3)):
        return 'mmpretrain_dense', None
    given = 'norm3.weight' in inside
    if 'head' in parts:
        told = "norm3 is the classifier's (head is beside it) and not a stage's"
        return 'mmpretrain', told if given else None
    told = "norm3 assumed to be the stage's, not a classifier's: no head is beside it"
    return 'mmpretrain_dense', told if given else None


def _divide(
    state: Mapping[str, Tensor],
    prefix: str,
    part: str | None,
    own_prefixes: Collection[str],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return what is beside the backbone of ``prefix``, and the names of the rest."""
    outside = [key for key in state if not key.startswith(prefix)]
    if part is not None:
        return {}, tuple(outside)
    outer = _outer(prefix, own_prefixes)
    return (
        _beside(state, prefix, own_prefixes),
        tuple(key for key in outside if not key.startswith(outer)),
    )


def _beside(
    state: Mapping[str, Tensor], prefix: str, own_prefixes: Collection[str]
) -> dict[str, Tensor]:
    """Return the weights of the same model as the backbone, without its own."""
    outer = _outer(prefix, own_prefixes)
    return {
        key.removeprefix(outer): value
        for key, value in state.items()
        if key.startswith(outer) and not key.startswith(prefix)
    }


def _outer(prefix: str, own_prefixes: Collection[str]) -> str:
    """Return the prefix of the model that the backbone belongs to."""
    if prefix.endswith('.backbone.') and prefix not in own_prefixes:
        return prefix.removesuffix('backbone.')  # of student.backbone. and the like
    return ''


def _rename(
    inside: Mapping[str, Tensor], table: str
) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, tuple[int, ...]]]:
    """Give a backbone's weights our names and shapes.

    Returns:
        The weights; the names that the table does not have; and our names of the
        weights that were reshaped, with the old shape.
    """
    backbone, unknown, reshaped = {}, [], {}
    for key, value in inside.items():
        ours = to_ours(key, table)
        if ours is None:
            unknown.append(key)
            continue
        backbone[ours] = to_our_shape(ours, value)
        if backbone[ours].shape != value.shape:
            reshaped[ours] = tuple(value.shape)
    return backbone, tuple(unknown), reshaped


def _find_backbone(
    state: Mapping[str, Tensor],
    reference: CheckpointRef,
    own_prefixes: Collection[str],
) -> tuple[str, str]:
    """Return the family and the prefix of the one ConvNeXt in a state dict."""
    part = reference.part
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
            f'checkpoint {reference} holds no ConvNeXt{within}: it has '
            f'{outline(state)}; names of Meta, timm, Hugging Face, torchvision and '
            f'mmpretrain are known'
        )
    if len(found) > 1:
        named = next((full.rstrip('.') for full in found.values() if full), 'PREFIX')
        raise UserError(
            f'checkpoint {reference} holds {len(found)} ConvNeXts, their names begin '
            f'with {", ".join(full or "nothing" for full in found.values())}: say '
            f'which one to take, as in {reference.with_part(named)}'
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
