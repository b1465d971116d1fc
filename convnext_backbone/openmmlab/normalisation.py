"""Holds how a model normalises images against what its weights were trained with."""

from collections.abc import Sequence

from torch import nn

from convnext_backbone.checkpoints import LoadReport
from convnext_backbone.openmmlab import compat

_BGR = ', and bgr_to_rgb=True where images are read as BGR'
TOLERANCE = 0.1  # pixel values: files write 123.675 and 123.68


def normalisation_warning(model: nn.Module) -> str | None:
    """Say what to set where a model normalises images unlike its weights' source.

    Args:
        model: A detector or segmentor, or a wrapper of one, with its weights loaded.

    Returns:
        None where the two agree, or where one of them is not known.
    """
    wrapped = getattr(model, 'module', model)  # by DDP or test-time augmentation
    preprocessor = getattr(wrapped, 'data_preprocessor', None)
    reports = [getattr(module, 'load_report', None) for module in model.modules()]
    report = next((r for r in reports if isinstance(r, LoadReport)), None)
    if preprocessor is None or report is None:
        return None
    mean, std, origin = report.stated.mean, report.stated.std, report.stated.origin
    if mean is None or std is None:
        return None
    values = f'mean={list(mean)}, std={list(std)}'
    cure = f'set data_preprocessor=dict({values}) in the model'
    theirs = f'the weights from {report.source} were trained with {values} '
    theirs += f'(according to {origin})'
    if not hasattr(preprocessor, 'mean') or not compat.normalises(preprocessor):
        return (
            f'The data preprocessor does not normalise images, {theirs}: unless the '
            f'pipeline does, {cure}'
        )
    own = [preprocessor.mean.flatten().tolist(), preprocessor.std.flatten().tolist()]
    if is_same(own[0], mean) and is_same(own[1], std):
        return None
    if len(own[0]) != len(mean):  # other channels: the stem was adapted
        return None
    own_mean, own_std = ([round(v, 4) for v in values] for values in own)
    order = '' if compat.swaps_channels(preprocessor) else _BGR
    return (
        f'Images are normalised with mean={own_mean}, std={own_std}, {theirs}: '
        f'{cure}{order}'
    )


def is_same(values: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether two lists of pixel values are the same but for rounding."""
    return len(values) == len(others) and all(
        abs(a - b) <= TOLERANCE for a, b in zip(values, others, strict=True)
    )
