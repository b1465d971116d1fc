"""Loads a checkpoint of any family into a model: all that must fit, or nothing."""

import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import sources
from convnext_backbone.checkpoints.families import unwrap
from convnext_backbone.checkpoints.matching import Strict, match
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.checkpoints.safe_reading.reading import check_tensors, read_file
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.registry import WEIGHT_INITIALIZERS


def load(
    model: nn.Module,
    source: str | Path,
    *,
    strict: Strict = 'auto',
    sha256: str | None = None,
) -> LoadReport:
    """Load weights into a ConvNeXt, or into a detector or segmentor.

    Args:
        model: A backbone, which takes a classifier's or a backbone's weights; or a
            whole model, which takes those too, into its backbone, or a whole model's.
            What wraps it (DDP, test-time augmentation) counts for nothing.
        source: A file, an http(s) URL, ``timm://MODEL``, ``hf://ORG/NAME`` or
            ``meta://NAME``; ``#ENTRY`` behind it takes that part of the file, such as
            ``run.pth#model_ema``, ``detector.pth#backbone`` or, of both kinds,
            ``run.pth#model_ema&backbone``.
        strict: 'auto' insists on all that a file of its family must hold; stage norms
            and heads may be new, those of another number of classes too. True insists
            on every weight of the model, and on nothing unexpected, as an evaluation
            needs it. False takes what fits.
        sha256: Hash that the file must have, 64 hex digits.

    Returns:
        What was loaded, new, skipped, unexpected and adapted; its line is logged.

    Raises:
        CheckpointError: The file cannot be read or holds no finite weights.
        UserError: There is no such file, or it does not fit; the message says what
            it holds and which setting would fit. The model is unchanged then.
    """
    checkpoint = read_checkpoint(source, sha256)
    return apply(model, checkpoint, source, strict=strict)


def read_checkpoint(source: str | Path, sha256: str | None = None) -> dict:
    """Read a checkpoint onto the CPU, wherever it is; what is broken is not kept.

    Returns:
        What the file holds: tensors and plain containers.

    Raises:
        CheckpointError: The file is damaged, is no checkpoint, or asks to run code.
        UserError: There is no such file, or no state dict in it.
    """
    source = os.fspath(source)
    path = sources.fetch(source, sha256)
    location, part, _ = sources.split_fragment(source)
    with sources.drop_broken(path):
        checkpoint = read_file(path)
        state, _ = unwrap(checkpoint, part, location)
        check_tensors(state, path)
    return checkpoint


def apply(
    model: nn.Module, checkpoint: dict, source: str | Path, *, strict: Strict = 'auto'
) -> LoadReport:
    """Load what :func:`read_checkpoint` returned; see :func:`load`."""
    source = os.fspath(source)
    if not (strict == 'auto' or isinstance(strict, bool)):
        raise UserError(f"strict={strict!r}: expected 'auto', True or False")
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    location, part, _ = sources.split_fragment(source)
    state, part = unwrap(checkpoint, part, location)
    meta = checkpoint.get('meta')
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    tensors, report = match(model, state, part, meta, source, strict)
    result = model.load_state_dict(tensors, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    assert set(result.missing_keys) <= set(report.new), result.missing_keys
    MMLogger.get_current_instance().info(f'Checkpoint: {report}')
    return report


@WEIGHT_INITIALIZERS.register_module(name='Checkpoint')
class CheckpointInit:
    """``init_cfg=dict(type='convnext_backbone.Checkpoint', source=...)``.

    It is for a backbone: mmengine initialises a model's parts after the model, and
    would draw them anew.

    Args:
        source: See :func:`load`.
        sha256: Hash that the file must have, 64 hex digits.
    """

    def __init__(
        self, source: str | None = None, sha256: str | None = None, **others: object
    ) -> None:
        if not isinstance(source, str) or others:
            raise UserError(
                f'init_cfg=dict(type="convnext_backbone.Checkpoint") takes source=... '
                f'and sha256=..., got source={source!r}'
                f'{"".join(f", {key}={value!r}" for key, value in others.items())}; on '
                f'the command line --init SOURCE replaces all of it'
            )
        self.source = source
        self.sha256 = sha256

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into the backbone that has the ``init_cfg``."""
        if not isinstance(module, ConvNeXt):
            raise UserError(
                f'init_cfg=dict(type="convnext_backbone.Checkpoint") is for a ConvNeXt '
                f'and stands in a {type(module).__name__}: move it to model.backbone, '
                f'or write load_from={self.source!r} for a whole model'
            )
        load(module, self.source, sha256=self.sha256)
