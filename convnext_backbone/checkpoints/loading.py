"""Loads a checkpoint of any family into a model: all that must fit, or nothing."""

from typing import Literal, TypeAlias

from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.checkpoint import Checkpoint, read_checkpoint
from convnext_backbone.checkpoints.matching import Strict, match
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.registry import WEIGHT_INITIALIZERS

Adapt: TypeAlias = Literal['kernel'] | None


def load(
    model: nn.Module,
    source: Source,
    *,
    strict: Strict = 'auto',
    sha256: str | None = None,
    adapt: Adapt = None,
) -> LoadReport:
    """Load weights into a ConvNeXt, or into a detector or segmentor.

    Args:
        model: A backbone, which takes a classifier's or a backbone's weights; or a
            whole model, which takes those too, into its backbone, or a whole model's.
            Wrappers such as DDP and test-time augmentation are looked through.
        source: A file, a folder that holds one, an http(s) URL, ``timm://MODEL``,
            ``hf://ORG/NAME`` or ``meta://NAME``. ``#NAME`` after it takes an entry of
            the file (``run.pth#model_ema``), the weights whose names begin so
            (``detector.pth#backbone``), or both (``run.pth#model_ema&backbone``);
            ``#sha256=HEX`` states the file's hash.
        strict: 'auto' insists on all that a file of its family must hold; stage norms
            and heads may be new, those of another number of classes too. True insists
            on every weight of the model, and on nothing unexpected, as an evaluation
            needs it. False takes what fits.
        sha256: Hash that the file must have, 64 hex digits; it takes precedence over
            the source's.
        adapt: 'kernel' cuts the centre out of depthwise kernels that are larger than
            the model's, which changes what they compute. Without it they are an error.

    Returns:
        What was loaded, new, skipped, unexpected and adapted; its line is logged, and
        the backbone keeps it as ``load_report``.

    Raises:
        CheckpointError: The file cannot be read or holds no finite weights.
        UserError: There is no such file, or it does not fit, or its source states
            another activation or eps than the model's; the message says what it holds
            and which setting would fit. The model is unchanged then. With
            ``strict=False`` activation and eps are a warning.
    """
    return apply(model, read_checkpoint(source, sha256), strict=strict, adapt=adapt)


def apply(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    strict: Strict = 'auto',
    adapt: Adapt = None,
) -> LoadReport:
    """Load what :func:`~.checkpoint.read_checkpoint` returned; see :func:`load`.

    Raises:
        UserError: The checkpoint does not fit; the model is unchanged then.
    """
    if not (strict == 'auto' or isinstance(strict, bool)):
        raise UserError(f"strict={strict!r}: expected 'auto', True or False")
    if adapt not in (None, 'kernel'):
        raise UserError(f"adapt={adapt!r}: expected None or 'kernel'")
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule('module')
    cut = adapt == 'kernel'
    tensors, report = match(model, checkpoint, strict, cut_kernels=cut)
    result = model.load_state_dict(tensors, strict=False)
    lost = set(result.missing_keys) - set(report.new)
    if result.unexpected_keys or lost:
        raise RuntimeError(
            f'the report on {checkpoint.reference} is not what was loaded: the model '
            f'did not take {result.unexpected_keys} and did not get {sorted(lost)}'
        )
    for module in model.modules():
        if isinstance(module, ConvNeXt):
            module.load_report = report
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
        adapt: See :func:`load`.
    """

    def __init__(
        self,
        source: str | None = None,
        sha256: str | None = None,
        adapt: Adapt = None,
        **others: object,
    ) -> None:
        if not isinstance(source, str) or others:
            raise UserError(
                f'init_cfg=dict(type="convnext_backbone.Checkpoint") takes source=..., '
                f'sha256=... and adapt=..., got source={source!r}'
                f'{"".join(f", {key}={value!r}" for key, value in others.items())}; on '
                f'the command line --init SOURCE replaces all of it'
            )
        self.reference = CheckpointRef.parse(source, sha256)
        self.adapt = adapt

    def __call__(self, module: nn.Module) -> None:
        """Load the checkpoint into the backbone that has the ``init_cfg``."""
        if not isinstance(module, ConvNeXt):
            raise UserError(
                f'init_cfg=dict(type="convnext_backbone.Checkpoint") is for a ConvNeXt '
                f'and stands in a {type(module).__name__}: move it to model.backbone, '
                f'or write load_from={self.reference.source!r} for a whole model'
            )
        load(module, self.reference, adapt=self.adapt)
