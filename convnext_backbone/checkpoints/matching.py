"""Pairs a checkpoint's weights with a model's, and judges what does not pair up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from convnext_backbone.checkpoints.adapt import adapt
from convnext_backbone.checkpoints.families import Weights, name_arch, outline, parse
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.convnext import ConvNeXt

NEW_NORMS = 'stage norms are new at fine-tuning'
NEW_HEADS = 'the file holds a backbone only'
CLASSIFIER = 'classifier head'
NOT_BUILT = 'stage that the model does not build'
NOT_EMITTED = 'norm of a stage that the model does not emit'
BESIDE = 'not of the backbone'
_CLASSIFIER_NAMES = re.compile(r'(?:.*\.)?(?:head|classifier|norm_pre|fc)\.')


@dataclass
class _Matching:
    """What has been found out so far."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)


def match(
    model: nn.Module,
    state: Mapping[str, Tensor],
    part: str | None,
    meta: dict,
    source: str,
    strict: object,
) -> tuple[dict[str, Tensor], LoadReport]:
    """Find a weight of the checkpoint for every one of the model.

    Args:
        model: The backbone or the whole model.
        state: The checkpoint's state dict.
        part: Part of it to take, see :func:`~.families.parse`.
        meta: What is stored beside the weights.
        source: The checkpoint's name, for messages.
        strict: See :func:`~.loading.load`.

    Returns:
        Weights under the model's names and in its shapes, and the report.

    Raises:
        ValueError: The checkpoint does not fit, as far as ``strict`` cares.
    """
    backbones = {
        f'{name}.' if name else '': module
        for name, module in model.named_modules()
        if isinstance(module, ConvNeXt)
    }
    if not backbones or (
        len(backbones) > 1 and model.state_dict().keys() <= set(state)
    ):
        weights = Weights('ours', 'model', {}, dict(state))
        backbones = {}
    else:
        weights = parse(state, part, source)
        if strict is not False:
            _check_kind(model, weights, source, strict)
            for module in backbones.values():
                _check_arch(module, weights, source)
    found = _pair(model, backbones, weights)
    if strict is not False:
        _check_complete(found, backbones, weights, source, strict)
    family = weights.family
    if family == 'meta' and 'mmengine_version' in meta:  # same names, trained here
        family = 'ours'
    report = LoadReport(
        source=source,
        family=family,
        kind=weights.kind,
        arch=f'{weights.arch}{" V2" if weights.use_grn else ""}' if backbones else '',
        loaded=tuple(found.tensors),
        new={**found.new, **dict.fromkeys(found.missing, 'missing in the file')},
        skipped=found.skipped,
        unexpected=tuple(found.unexpected),
        adapted=found.adapted,
        meta=meta,
    )
    return found.tensors, report


def _check_kind(model: nn.Module, weights: Weights, source: str, strict) -> None:
    """Raise ValueError when a classifier, detector and segmentor are mixed up."""
    dense = weights.kind in ('detector', 'segmentor')
    parts = sorted({key.split('.')[0] for key in weights.others})
    if isinstance(model, ConvNeXt):
        if dense:
            raise ValueError(
                f'checkpoint {source} is a whole {weights.kind} (it has '
                f'{", ".join(parts)}), and was given to a backbone: to start from all '
                f'of it, give it as --init or load_from; to start from its backbone '
                f'only, write {source}#{weights.prefix.rstrip(".")}'
            )
        return
    own = [name for name, _ in model.named_children() if 'head' in name]
    if strict is True and not dense:
        raise ValueError(
            f'checkpoint {source} is a {weights.kind}, ConvNeXt {weights.arch} without '
            f'{", ".join(own)}: it has nothing to evaluate; train from it with '
            f'--init {source}, then give the result'
        )
    if dense and not set(own) & set(parts):
        raise ValueError(
            f'checkpoint {source} is not of this model: it is a {weights.kind} with '
            f'{", ".join(parts)}, the model has {", ".join(own)}; to start from its '
            f'backbone only, write {source}#{weights.prefix.rstrip(".")}'
        )


def _check_arch(module: ConvNeXt, weights: Weights, source: str) -> None:
    """Raise ValueError when the file's ConvNeXt is another one than the model's."""
    built = len(module.stages)
    depths, channels = weights.depths, weights.channels
    own_depths, own_channels = module.depths[:built], module.channels[:built]
    stages = min(built, len(depths))
    same = channels[:stages] == own_channels[:stages] and all(
        # Fewer blocks than the model has may be an incomplete file of its arch.
        given == own or (given < own and weights.arch.startswith('dict'))
        for given, own in zip(depths, own_depths, strict=False)
    )
    if not same:
        wrong = [key for key in weights.backbone if key not in module.state_dict()]
        wrong = wrong or [k for k in module.state_dict() if k not in weights.backbone]
        arch = weights.arch if weights.arch.startswith('dict') else f'{weights.arch!r}'
        raise ValueError(
            f'checkpoint {source} holds ConvNeXt {weights.arch}, the model is '
            f'{name_arch(module.depths, module.channels)} ({"; ".join(wrong[:3])} do '
            f'not fit): set arch={arch} in the backbone, and in_channels='
            f'{list(channels)} in what follows it, or give weights of its arch'
        )
    own = module.state_dict()
    for part, setting in (
        ('grn.gamma', 'use_grn'),
        ('gamma', 'layer_scale_init_value'),
    ):
        first = f'stages.0.0.{part}'
        if (first in own) == (first in weights.backbone):
            continue
        given = first in weights.backbone
        value = {'use_grn': given, 'layer_scale_init_value': 1.0 if given else 0}
        raise ValueError(
            f'checkpoint {source} holds ConvNeXt {"V2" if weights.use_grn else "V1"} '
            f'{"with" if given else "without"} {first}, which the model '
            f'{"lacks" if given else "has"}: set {setting}={value[setting]} in the '
            f'backbone, or give other weights'
        )


def _pair(
    model: nn.Module, backbones: Mapping[str, ConvNeXt], weights: Weights
) -> _Matching:
    found = _Matching()
    own = model.state_dict()
    dense = weights.kind not in ('classifier', 'backbone')
    given = {p + key: t for p in backbones for key, t in weights.backbone.items()}
    notes = {
        p + k: _note_reshape(k, s)
        for p in backbones
        for k, s in weights.reshaped.items()
    }
    if dense:
        given.update(weights.others)
    else:
        found.skipped.update(dict.fromkeys(weights.others, BESIDE))
    for key, tensor in own.items():
        prefix = next((p for p in backbones if key.startswith(p)), None)
        if key not in given:
            reason = _why_new(key, prefix, dense)
            if reason:
                found.new[key] = reason
            else:
                found.missing.append(key)
        elif given[key].shape == tensor.shape:
            found.tensors[key] = given[key]
            if key in notes:
                found.adapted[key] = notes[key]
        else:
            _fit(found, model, key, prefix, given[key], tensor)
    for key in weights.unknown:
        if _CLASSIFIER_NAMES.match(key):
            found.skipped[key] = CLASSIFIER
        else:
            found.unexpected.append(key)
    for key in given:
        if key not in own:
            reason = _why_skipped(key, backbones)
            if reason:
                found.skipped[key] = reason
            else:
                found.unexpected.append(key)
    return found


def _note_reshape(key: str, old: tuple[int, ...]) -> str:
    leaf = key.split('.', 3)[-1] if key.startswith('stages.') else key
    return f'{leaf} reshaped from {len(old)} dimensions'


def _fit(found: _Matching, model, key, prefix, given: Tensor, own: Tensor) -> None:
    """Adapt a weight of another shape, leave a head of other classes new, or object."""
    fitted = None
    if prefix is not None:
        fitted = adapt(key[len(prefix) :], given, own.shape)
    elif given.shape[1:] == own.shape[1:] and _predicts_classes(model, key):
        found.new[key] = (
            f'another number of classes, {len(given)} outputs in the file and '
            f'{len(own)} here'
        )
        return
    if fitted is None:
        found.misshapen.append(
            f'{key} is {tuple(given.shape)} in the file and {tuple(own.shape)} here'
        )
    else:
        found.tensors[key], found.adapted[key] = fitted


def _predicts_classes(model: nn.Module, key: str) -> bool:
    """Tell whether a weight is of a head with classes; an RPN's are not the data's."""
    parts = key.split('.')[:-1]
    owners = (
        model.get_submodule('.'.join(parts[:n])) for n in range(len(parts), 0, -1)
    )
    return 'rpn_head' not in parts and any(hasattr(m, 'num_classes') for m in owners)


def _why_new(key: str, prefix: str | None, dense: bool) -> str | None:
    """Return why a weight of the model may be missing in a file, None if it may not."""
    if dense:
        return None
    if prefix is None:
        return NEW_HEADS
    return NEW_NORMS if re.match(r'norm\d', key[len(prefix) :]) else None


def _why_skipped(key: str, backbones: Mapping[str, ConvNeXt]) -> str | None:
    """Return why a model has no use for a weight of a file, None if it should."""
    for prefix, module in backbones.items():
        if not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if re.match(r'(norm|head)\.', name):
            return CLASSIFIER
        stage = re.match(r'(?:stages|downsample_layers)\.(\d+)\.', name)
        if stage and int(stage[1]) >= len(module.stages):
            return NOT_BUILT
        if re.match(r'norm\d', name):
            return NOT_EMITTED
    return None


def _check_complete(
    found: _Matching,
    backbones: Mapping[str, ConvNeXt],
    weights: Weights,
    source: str,
    strict: object,
) -> None:
    """Raise ValueError for what is missing or misshapen; if strict, for any rest."""
    lists = [('are missing', found.missing), ('have another shape', found.misshapen)]
    if strict is True:
        lists += [
            ('would be new', list(found.new)),
            ('do not belong to the model', found.unexpected),
        ]
    problems = [
        f'{len(names)} weights {what}: {_first(names)}'
        for what, names in lists
        if names
    ]
    if not problems:
        return
    held = ''
    if backbones:
        held = f'; it holds a {weights.family} {weights.kind}, ConvNeXt {weights.arch}'
    elif not found.tensors:
        held = f'; it has {outline(weights.others)}'
    fix = (
        'use the config it was trained with (kept beside it in its work dir)'
        if strict is True or weights.kind in ('detector', 'segmentor', 'model')
        else 'the file is incomplete or of another model: get it again, or give another'
    )
    raise ValueError(
        f'checkpoint {source} is not of this model: {"; ".join(problems)}{held}; {fix}'
    )


def _first(names: list[str], limit: int = 3) -> str:
    return '; '.join(names[:limit]) + (' ...' if len(names) > limit else '')
