"""Asks everyone who may know what a checkpoint's weights were trained with."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from mmengine.logging import MMLogger

from convnext_backbone.checkpoints import hub, published
from convnext_backbone.checkpoints.checkpoint import Checkpoint, read_checkpoint
from convnext_backbone.checkpoints.families import parse
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.checkpoints.stated import hugging_face, timm_models
from convnext_backbone.checkpoints.stated.training_configs import from_meta
from convnext_backbone.checkpoints.stated.values import (
    IMAGENET,
    Stated,
    channels,
    merge,
    number,
    text,
)

MARK = 'stated'  # what a converted file calls what its source stated
TORCHVISION = 'https://download.pytorch.org/models/convnext_'
OPEN_CLIP = 'open_clip_config.json'
# Family -> the files that its library writes beside the weights, and who reads them.
BESIDE: Mapping[str, Mapping[str, Callable[[Mapping], Stated]]] = MappingProxyType(
    {
        'hf': {
            'config.json': hugging_face.from_config,
            'preprocessor_config.json': hugging_face.from_preprocessor,
        },
        'timm': {
            'config.json': timm_models.from_config,
            OPEN_CLIP: timm_models.from_open_clip,
        },
    }
)


def find_stated(checkpoint: Checkpoint, family: str) -> Stated:
    """Find what a checkpoint's source states of its weights.

    The file itself comes first, then who published it, then the files beside it. Only
    those of the library that names weights so count: a folder may hold several.

    Args:
        checkpoint: What was read.
        family: Who names its weights so, see :class:`~.families.Weights`.
    """
    stated = merge(
        [
            _of_mark(checkpoint),
            from_meta(checkpoint.meta),
            stated_by_name(checkpoint.reference),
        ]
    )
    if stated.is_complete:
        return stated
    beside = _of_files_beside(checkpoint, family)
    return merge([stated, *beside, _of_family(family)])


def stated_by(source: Source) -> Stated:
    """Find what a source states, and read its file where the name does not say it all.

    Raises:
        UserError: The file cannot be had or read, or holds no ConvNeXt.
    """
    stated = stated_by_name(CheckpointRef.parse(source))
    if stated.is_complete:
        return stated
    checkpoint = read_checkpoint(source)
    weights = parse(checkpoint.state, checkpoint.reference)
    return find_stated(checkpoint, weights.family)


def stated_by_name(reference: CheckpointRef) -> Stated:
    """Return what is known of published weights by their name or URL alone."""
    location = reference.location
    if reference.scheme == 'meta' or location.startswith(published.BASE):
        origin = "Meta's publication"
        return Stated('gelu', 1e-6, IMAGENET.mean, IMAGENET.std, origin)
    if reference.scheme == 'timm':
        return timm_models.from_registry(reference.address)
    if location.startswith(TORCHVISION):
        return Stated(mean=IMAGENET.mean, std=IMAGENET.std, origin='torchvision')
    return Stated()


def _of_family(family: str) -> Stated:
    """Return what a library has one value of."""
    if family == 'torchvision':
        return Stated('gelu', 1e-6, origin='torchvision, which has no other')
    return Stated()


def _of_mark(checkpoint: Checkpoint) -> Stated:
    """Return what :func:`~.converting.convert` wrote into the file."""
    mark = checkpoint.mark(MARK)
    try:
        values = json.loads(mark) if mark else None
    except ValueError:  # another program's, by the same name
        return Stated()
    if not isinstance(values, Mapping):
        return Stated()
    return Stated(
        text(values.get('act')),
        number(values.get('norm_eps')),
        channels(values.get('mean')),
        channels(values.get('std')),
        text(values.get('origin')) or 'the converted file',
    )


def _of_files_beside(checkpoint: Checkpoint, family: str) -> list[Stated]:
    """Read what the family's library wrote beside the weights."""
    readers = dict(BESIDE.get(family, {}))
    reference, path = checkpoint.reference, checkpoint.path
    if path.name.startswith('open_clip'):
        readers = {OPEN_CLIP: readers[OPEN_CLIP]} if OPEN_CLIP in readers else {}
    if reference.scheme == 'hf':
        hub.fetch_beside(reference.address, path, tuple(readers))
    found = []
    for name, read in readers.items():
        config = _read_json(path.parent / name)
        if config is not None:
            found.append(read(config))
    return found


def _read_json(path: Path) -> Mapping | None:
    """Read a JSON object, None if there is no such file or it is none."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:  # the latter of JSON and of UTF-8
        MMLogger.get_current_instance().warning(
            f'{path} cannot be read ({error}): what it states of the weights beside '
            f'it is not known'
        )
        return None
    return content if isinstance(content, Mapping) else None
