"""Pairs a checkpoint's weights with a model's, and judges what does not pair up."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.adapt import adapt, check_kernels
from convnext_backbone.checkpoints.checkpoint import Checkpoint
from convnext_backbone.checkpoints.families import (
    STAGE_NORM,
    Weights,
    name_arch,
    outline,
    parse,
)
from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.checkpoints.stated import Stated, find_stated
from convnext_backbone.checkpoints.stated.agreement import check_agreement, describe
from convnext_backbone.checkpoints.unwrapping import describe_choice
from convnext_backbone.foundation.errors import UserError

Strict = Literal['auto', True, False]

NEW_NORMS = 'stage norms are new at fine-tuning'
NEW_HEADS = 'the file holds a backbone only'
CLASSIFIER = 'classifier head'
NOT_BUILT = 'stage that the model does not build'
NOT_EMITTED = 'norm of a stage that the model does not emit'
BESIDE = 'not of the backbone'
IGNORED = 'not of the part that is taken'
_CLASSIFIER_NAMES = re.compile(r'(?:head|classifier|norm_pre|fc)\.')
_STAGE = re.compile(r'(?:stages|downsample_layers)\.(\d+)\.')


@dataclass
class _Pairs:
    """What has been found out so far, under the names of the report."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misshapen: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)


def match(
    model: nn.Module,
    checkpoint: Checkpoint,
    strict: Strict,
    *,
    cut_kernels: bool = False,
) -> tuple[dict[str, Tensor], LoadReport]:
    """Find a weight of the checkpoint for every one of the model.

    Args:
        model: The backbone or the whole model.
        checkpoint: What was read.
        strict: See :func:`~.loading.load`.
        cut_kernels: Whether larger depthwise kernels may be cut.

    Returns:
        Weights under the model's names and in its shapes, and the report.

    Raises:
        UserError: The checkpoint does not fit, as far as ``strict`` cares.
    """
    state, reference = checkpoint.state, checkpoint.reference
    backbones = {
        f'{name}.' if name else '': module
        for name, module in model.named_modules()
        if isinstance(module, ConvNeXt)
    }
    convnexts = list(backbones.values())
    own_names = model.state_dict().keys()
    if not backbones or (len(backbones) > 1 and own_names <= state.keys()):
        weights, backbones = Weights('ours', 'model', {}, dict(state)), {}
    else:
        weights = parse(state, reference, backbones, own_names)
    stated = find_stated(checkpoint, weights.family) if convnexts else Stated()
    pairs = _pair(model, backbones, weights, cut_kernels)
    if strict is not False:
        if backbones:
            _check_kind(model, weights, reference, strict)
        for module in backbones.values():
            _check_arch(module, weights, reference)
            if not cut_kernels:
                check_kernels(weights.backbone, module.state_dict(), reference)
        _check_complete(pairs, backbones, weights, reference, strict)
    check_agreement(convnexts, stated, reference, strict)
    notes = describe_choice(checkpoint.content, reference)
    notes += [weights.last_norm] if weights.last_norm else []
    notes += [describe(convnext, stated) for convnext in convnexts[:1]]
    arch = weights.arch if backbones else 'no ConvNeXt'
    report = _report(checkpoint, weights, arch, pairs, stated, notes)
    return pairs.tensors, report


def _report(
    checkpoint: Checkpoint,
    weights: Weights,
    arch: str,
    pairs: _Pairs,
    stated: Stated,
    notes: list[str],
) -> LoadReport:
    meta, family = checkpoint.meta, weights.family
    if family == 'meta' and 'mmengine_version' in meta:  # same names, trained here
        family = 'ours'
    version = ' V2' if weights.version == 'V2' else ''
    return LoadReport(
        source=str(checkpoint.reference),
        family=family,
        kind=weights.kind,
        arch=f'{arch}{version}',
        loaded=tuple(pairs.tensors),
        new={
            **pairs.new,
            **dict.fromkeys(pairs.missing, 'missing in the file'),
            **dict.fromkeys(pairs.misshapen, 'of another shape in the file'),
        },
        skipped=pairs.skipped,
        unexpected=(*pairs.foreign, *pairs.unexpected),
        adapted=pairs.adapted,
        meta=meta,
        stated=stated,
        notes=tuple(notes),
    )


def _pair(
    model: nn.Module,
    backbones: Mapping[str, ConvNeXt],
    weights: Weights,
    cut_kernels: bool,
) -> _Pairs:
    pairs = _Pairs(skipped=dict.fromkeys(weights.ignored, IGNORED))
    given = {p + key: t for p in backbones for key, t in weights.backbone.items()}
    if weights.is_whole:
        given.update(weights.others)
    else:
        pairs.skipped.update(dict.fromkeys(weights.others, BESIDE))
    own = model.state_dict()
    for key, tensor in own.items():
        prefix = next((p for p in backbones if key.startswith(p)), None)
        if key not in given:
            reason = _why_new(key, prefix, weights)
            if reason:
                pairs.new[key] = reason
            else:
                pairs.missing.append(key)
        else:
            _fit(pairs, model, key, prefix, given[key], tensor, cut_kernels)
    for prefix in backbones:
        for key, shape in weights.reshaped.items():
            if prefix + key in pairs.tensors:
                note = f'{_leaf(key)} reshaped, {len(shape)}-d in the file'
                pairs.adapted.setdefault(prefix + key, note)
    for key in given.keys() - own.keys():
        reason = _why_skipped(key, backbones)
        if reason:
            pairs.skipped[key] = reason
        else:
            pairs.unexpected.append(key)
    built = max((len(module.stages) for module in backbones.values()), default=0)
    for key in weights.unknown:
        stage = _STAGE.match(key)
        if _CLASSIFIER_NAMES.match(key):
            pairs.skipped[weights.prefix + key] = CLASSIFIER
        elif stage and int(stage[1]) < built:
            pairs.foreign.append(weights.prefix + key)
        else:
            pairs.unexpected.append(weights.prefix + key)
    return pairs


def _leaf(key: str) -> str:
    """Return a weight's name within its block."""
    return key.split('.', 3)[-1] if key.startswith('stages.') else key


def _why_new(key: str, prefix: str | None, weights: Weights) -> str | None:
    """Return why a weight of the model may be missing in a file, None if it may not."""
    if weights.is_whole:
        return None
    if prefix is None:
        return NEW_HEADS
    norm = STAGE_NORM.match(key[len(prefix) :])
    known = norm and any(name.startswith(norm[0]) for name in weights.backbone)
    return NEW_NORMS if norm and not known else None


def _fit(
    pairs: _Pairs,
    model: nn.Module,
    key: str,
    prefix: str | None,
    given: Tensor,
    own: Tensor,
    cut_kernels: bool,
) -> None:
    """Take a weight, adapted if need be; leave a head of other classes new."""
    if given.shape == own.shape:
        pairs.tensors[key] = given
        return
    fitted = None
    if prefix is not None:
        name = key[len(prefix) :]
        fitted = adapt(name, given, own.shape, cut_kernels=cut_kernels)
    if fitted is not None:
        pairs.tensors[key], pairs.adapted[key] = fitted
    elif prefix is None and _differs_in_classes(model, key, given, own):
        pairs.new[key] = (
            f'another number of classes, {len(given)} outputs in the file and '
            f'{len(own)} here'
        )
    else:
        shapes = f'{tuple(given.shape)} in the file and {tuple(own.shape)} here'
        pairs.misshapen[key] = f'{key} is {shapes}'


def _differs_in_classes(model: nn.Module, key: str, given: Tensor, own: Tensor) -> bool:
    """Tell whether a weight has an output for each class, of which there are others.

    An RPN's classes are not the data's.
    """
    parts = key.split('.')[:-1]
    if 'rpn_head' in parts or not given.ndim or given.shape[1:] != own.shape[1:]:
        return False
    owners = ('.'.join(parts[:n]) for n in range(len(parts), 0, -1))
    counts = (
        getattr(model.get_submodule(name), 'num_classes', None) for name in owners
    )
    classes = next((n for n in counts if isinstance(n, int) and n > 0), None)
    if classes is None:
        return False
    # One output a class, one more for the background, four for a box, some an anchor.
    usual = (classes, classes + 1, 4 * classes, 4 * classes + 4)
    return len(own) in usual or (classes > 1 and len(own) % classes == 0)


def _why_skipped(key: str, backbones: Mapping[str, ConvNeXt]) -> str | None:
    """Return why a model has no use for a weight of a file, None if it should."""
    for prefix, module in backbones.items():
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if re.match(r'(norm|head)\.', name):
            return CLASSIFIER
        stage = _STAGE.match(name)
        if stage and int(stage[1]) >= len(module.stages):
            return NOT_BUILT
        if STAGE_NORM.match(name):
            return NOT_EMITTED
    return None


def _check_kind(
    model: nn.Module, weights: Weights, reference: CheckpointRef, strict: Strict
) -> None:
    """Raise UserError when a classifier, detector and segmentor are mixed up."""
    theirs = {key.split('.')[0] for key in weights.others}
    named = ', '.join(sorted(theirs))
    part = reference.with_part(weights.prefix.rstrip('.'))
    if isinstance(model, ConvNeXt):
        if weights.is_whole:
            raise UserError(
                f'checkpoint {reference} is a whole {weights.kind} (it has {named}), '
                f'and was given to a backbone: to start from all of it, give it as '
                f'--init or load_from; to start from its backbone only, write {part}'
            )
        return
    backbones = {n for n, m in model.named_children() if isinstance(m, ConvNeXt)}
    names = (key.partition('.') for key in model.state_dict())
    ours = {part for part, dot, _ in names if dot} - backbones
    own = ', '.join(sorted(ours))
    if strict is True and not weights.is_whole:
        raise UserError(
            f'checkpoint {reference} is a {weights.kind}, ConvNeXt {weights.arch} '
            f'without {own}: it has nothing to evaluate; train from it with --init '
            f'{shlex.quote(str(reference))}, then give the result'
        )
    heads = ours - {'neck'}
    if weights.is_whole and heads and not heads & theirs:
        raise UserError(
            f'checkpoint {reference} is not of this model: it is a {weights.kind} with '
            f'{named}, the model has {own}; to start from its backbone only, write '
            f'{part}'
        )


def _check_arch(module: ConvNeXt, weights: Weights, reference: CheckpointRef) -> None:
    """Raise UserError when the file's ConvNeXt is another one than the model's."""
    built = len(module.stages)
    depths, channels = weights.depths[:built], weights.channels[:built]
    own = module.state_dict()
    same = (depths, channels) == (module.depths[:built], module.channels[:built])
    other_version = (weights.version == 'V2') != any('.grn.' in key for key in own)
    if not same and not weights.has_gaps:
        wrong = [
            key
            for key, tensor in weights.backbone.items()
            if (stage := _STAGE.match(key))
            and (key not in own or _is_other(tensor, own[key]))
            and int(stage[1]) < built
        ]
        wrong += [
            key for key in own if _STAGE.match(key) and key not in weights.backbone
        ]
        arch = weights.arch if weights.arch.startswith('dict') else f'{weights.arch!r}'
        version = f', use_grn={weights.version == "V2"}' if other_version else ''
        after = ''
        if weights.channels != module.channels:
            after = f', in_channels={list(weights.channels)} in what follows it'
        raise UserError(
            f'checkpoint {reference} holds ConvNeXt {weights.arch}, the model is '
            f'{name_arch(module.depths, module.channels)} ({_first(wrong)} do not '
            f'fit): set arch={arch}{version} in the backbone{after}, or give weights '
            f'of its arch'
        )
    for part, setting in (
        ('grn.gamma', 'use_grn'),
        ('gamma', 'layer_scale_init_value'),
    ):
        name = re.compile(rf'stages\.\d+\.\d+\.{re.escape(part)}')
        theirs = next(filter(name.fullmatch, weights.backbone), None)
        ours = next(filter(name.fullmatch, own), None)
        if (theirs is None) == (ours is None):
            continue
        given = theirs is not None
        value = {'use_grn': given, 'layer_scale_init_value': 1.0 if given else 0}
        raise UserError(
            f'checkpoint {reference} holds ConvNeXt {weights.version} '
            f'{"with" if given else "without"} {theirs or ours}, which the model '
            f'{"lacks" if given else "has"}: set {setting}={value[setting]} in the '
            f'backbone, or give other weights'
        )


def _is_other(given: Tensor, own: Tensor) -> bool:
    """Tell whether a weight has another width than the model's, kernels aside."""
    return given.ndim != own.ndim or given.shape[:1] != own.shape[:1]


def _check_complete(
    pairs: _Pairs,
    backbones: Mapping[str, ConvNeXt],
    weights: Weights,
    reference: CheckpointRef,
    strict: Strict,
) -> None:
    """Raise UserError for what is missing or misshapen; if strict, for any rest."""
    lists = [
        ('are missing', pairs.missing),
        ('have another shape', list(pairs.misshapen.values())),
        ('are not those of a ConvNeXt', pairs.foreign),
    ]
    if strict is True:
        lists += [
            ('would be new', list(pairs.new)),
            ('do not belong to the model', pairs.unexpected),
        ]
    problems = [
        f'{len(names)} weights {what}: {_first(names)}'
        for what, names in lists
        if names
    ]
    if not problems:
        return
    held = f'it holds a {weights.family} {weights.kind}, ConvNeXt {weights.arch}'
    if not backbones:
        held = f'it has {outline(weights.others)}'
    fix = (
        'use the config it was trained with (kept beside it in its work dir)'
        if strict is True or weights.is_whole
        else 'the file is incomplete or of another model: get it again, or give another'
    )
    raise UserError(
        f'checkpoint {reference} is not of this model: {"; ".join(problems)}; {held}; '
        f'{fix}'
    )


def _first(names: list[str], limit: int = 3) -> str:
    return '; '.join(names[:limit]) + (' ...' if len(names) > limit else '')
