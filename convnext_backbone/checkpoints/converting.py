"""Writes a checkpoint of any family as a file of another."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from convnext_backbone.backbone.block import NORM_EPS
from convnext_backbone.checkpoints.checkpoint import read_checkpoint
from convnext_backbone.checkpoints.families import STAGE_NORM, Weights, parse
from convnext_backbone.checkpoints.keymaps import from_ours, to_their_shape
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.checkpoints.safe_reading.reading import read_file
from convnext_backbone.checkpoints.stated import Stated, find_stated
from convnext_backbone.checkpoints.stated.finding import MARK
from convnext_backbone.checkpoints.unwrapping import unwrap
from convnext_backbone.foundation.errors import UserError, os_errors_told

TARGETS = ('meta', 'timm', 'hf', 'torchvision', 'mmpretrain', 'ours')
PICKLES = ('.pth', '.pt', '.bin')
# timm builds these archs with 1x1 convolutions, the larger ones with linears.
CONV_MLP_ARCHS = ('atto', 'femto', 'pico', 'nano')
# In a file of ours: the family whose 1x1 convolutions became linears.
CONV_MLP_MARK = 'conv_mlp_of'


def convert(
    source: Source, target: str | Path, to: str, *, force: bool = False
) -> tuple[int, list[str]]:
    """Convert a checkpoint and write it, whole or not at all.

    Args:
        source: What :func:`~.loading.load` takes.
        target: File to write, ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``.
        to: One of :data:`TARGETS`.
        force: Replace ``target`` if it exists.

    Returns:
        The number of weights written, and the names in the source that the family
        has no place for and which are therefore left out.

    Raises:
        UserError: The source cannot be read or is not a ConvNeXt, the family has no
            such model, or ``target`` exists, has another suffix or cannot be written.
    """
    target = Path(target)
    if to not in TARGETS:
        raise UserError(
            f'family {to!r} is unknown: expected one of {", ".join(TARGETS)}'
        )
    if target.suffix not in ('.safetensors', *PICKLES):
        raise UserError(
            f'{target}: expected a name that ends in .safetensors or in '
            f'{", ".join(PICKLES)}'
        )
    if os.path.lexists(target) and not force:
        raise UserError(f'{target} exists: give another name, or --force to replace it')
    checkpoint = read_checkpoint(source)
    weights = parse(checkpoint.state, checkpoint.reference)
    conv_mlp = _conv_mlp_of(weights) or checkpoint.mark(CONV_MLP_MARK)
    converted, left_out = rename(weights, to, conv_mlp == to)
    stated = find_stated(checkpoint, weights.family)
    marks = {CONV_MLP_MARK: conv_mlp} if conv_mlp else {}
    if stated != Stated():
        marks[MARK] = stated.to_json()
    _say_what_is_lost(weights, stated, target, to)
    if target.suffix == '.safetensors':
        own = {key: value.contiguous().clone() for key, value in converted.items()}
        _write(target, converted, lambda path: _save_safetensors(own, marks, path))
        return len(converted), left_out
    contents: dict[str, object]
    if to in ('timm', 'hf', 'torchvision'):
        contents = {**converted}
    elif to == 'meta' and not weights.is_whole:
        contents = {'model': converted}
    else:
        contents = {'state_dict': converted, **marks}
        if isinstance(checkpoint.content.get('meta'), Mapping):
            contents['meta'] = checkpoint.meta
    _write(target, converted, lambda path: _save_pickle(contents, path))
    return len(converted), left_out


def _say_what_is_lost(weights: Weights, stated: Stated, target: Path, to: str) -> None:
    """Log what a reader of the file has to know and the weights do not tell."""
    logger = MMLogger.get_current_instance()
    if weights.last_norm:
        logger.info(f'{target}: {weights.last_norm}')
    if stated.act not in (None, 'gelu') or stated.norm_eps not in (None, NORM_EPS):
        logger.warning(
            f'{target}: the weights were trained with act={stated.act!r}, norm_eps='
            f'{stated.norm_eps} (according to {stated.origin}); a model of {to} that '
            f'loads them has to be built with these too'
        )


def rename(
    weights: Weights, to: str, conv_mlp: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """Give weights the names and shapes of a family.

    Args:
        weights: What :func:`~.families.parse` found.
        to: One of :data:`TARGETS`.
        conv_mlp: Write a block's linears as 1x1 convolutions, which timm and
            mmpretrain have as a variant.

    Returns:
        The renamed weights, and the names in the source that were left out.

    Raises:
        UserError: The family has no such model.
    """
    if to == 'torchvision' and weights.version == 'V2':
        raise UserError(
            'torchvision has no ConvNeXt V2: convert to timm or hf, which have it'
        )
    table = 'meta' if to == 'ours' else to
    norms = {match[1] for k in weights.backbone if (match := STAGE_NORM.match(k))}
    if to == 'mmpretrain' and (weights.is_whole or norms - {'3'}):
        table = 'mmpretrain_dense'  # else its norm3 is the classifier's
    conv_mlp = conv_mlp or (to == 'timm' and weights.arch in CONV_MLP_ARCHS)
    keeps_others = weights.is_whole and to in ('meta', 'ours', 'mmpretrain')
    prefix = 'backbone.' if to == 'mmpretrain' else ''
    if keeps_others:
        prefix = weights.prefix
    elif to == 'hf' and 'head.weight' in weights.backbone:
        prefix = 'convnextv2.' if weights.version == 'V2' else 'convnext.'
    renamed = {}
    left_out = [*(weights.prefix + key for key in weights.unknown), *weights.ignored]
    for key, tensor in weights.backbone.items():
        name = from_ours(key, table)
        if name is None:
            left_out.append(key)
            continue
        beside = key.startswith('head.') and to in ('hf', 'mmpretrain')
        name = name if beside else prefix + name
        renamed[name] = to_their_shape(key, tensor, table, conv_mlp)
    if keeps_others:
        renamed.update(weights.others)
    else:
        left_out += list(weights.others)
    return renamed, left_out


def _conv_mlp_of(weights: Weights) -> str | None:
    """Return the family, if its blocks hold 1x1 convolutions in place of linears."""
    shapes = (s for key, s in weights.reshaped.items() if '.pwconv' in key)
    return weights.family if any(len(shape) == 4 for shape in shapes) else None


def _save_safetensors(
    state: dict[str, Tensor], marks: dict[str, str], path: Path
) -> None:
    try:
        save_file(state, path, marks or None)
    except SafetensorError as error:  # of a full disk, too
        raise OSError(f'{error}') from error


def _save_pickle(contents: dict, path: Path) -> None:
    with path.open('wb') as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # which torch hides
                raise error.__context__ from None
            raise


def _write(
    target: Path, state: dict[str, Tensor], save: Callable[[Path], object]
) -> None:
    """Write a checkpoint beside its place, check that it reads back equal, move it.

    Raises:
        UserError: It cannot be written there.
        RuntimeError: What was read back is not what was written.
    """
    partial = target.with_name(f'.{target.name}.{os.getpid()}.partial')
    with os_errors_told(f'writing {target}'):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os_errors_told(f'writing {target}'):
            save(partial)
        reference = CheckpointRef.parse(partial)
        _check_equal(unwrap(read_file(partial), reference)[0], state, target)
        with os_errors_told(f'writing {target}'):
            os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _check_equal(
    written: Mapping[str, Tensor], state: Mapping[str, Tensor], target: Path
) -> None:
    """Raise RuntimeError unless a file that was read back holds what was written."""
    wrong = sorted(written.keys() ^ state.keys())
    wrong += [k for k in state if k in written and not _is_same(written[k], state[k])]
    if wrong:
        raise RuntimeError(
            f'{target} was not written: read back, {len(wrong)} weights are not those '
            f'that were converted: {", ".join(wrong[:3])}'
        )


def _is_same(written: Tensor, tensor: Tensor) -> bool:
    return written.dtype == tensor.dtype and torch.equal(written, tensor)
