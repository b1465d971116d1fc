"""Holds a model against what the source of its weights states."""

import math
import re
from collections.abc import Iterable

from mmengine.logging import MMLogger

from convnext_backbone.backbone.block import ACTIVATIONS, NORM_EPS
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.checkpoints.stated.values import Stated
from convnext_backbone.foundation.errors import UserError


def check_agreement(
    backbones: Iterable[ConvNeXt],
    stated: Stated,
    reference: CheckpointRef,
    strict: bool | str,
) -> None:
    """See that the backbones compute what the weights were trained for.

    Raises:
        UserError: One has another activation or eps than stated; a warning in the log
            if ``strict`` is False.
    """
    for backbone in backbones:
        problem = _difference(backbone, stated, reference)
        if problem and strict is not False:
            raise UserError(problem)
        if problem:
            MMLogger.get_current_instance().warning(problem)


def describe(backbone: ConvNeXt, stated: Stated) -> str:
    """Say in the report's line who states activation and eps, or what was assumed."""
    values = {'activation': stated.act, 'eps': stated.norm_eps}
    own = {'activation': backbone.act, 'eps': write_eps(backbone.norm_eps)}
    defaults = {'activation': 'gelu', 'eps': write_eps(NORM_EPS)}
    left = [name for name, value in values.items() if value is None]
    if not left:
        return f'activation and eps stated by {stated.origin}'
    taken = ', '.join(own[name] for name in left)
    start = f'{" and ".join(left)} not stated by the file; '
    if all(own[name] == defaults[name] for name in left):
        return f'{start}assumed {taken}'
    return f'{start}{taken} taken from the model'


def write_eps(eps: float) -> str:
    """Write an eps as people do: 1e-6, not 1e-06."""
    return re.sub('e-0', 'e-', f'{eps:g}')


def _difference(
    backbone: ConvNeXt, stated: Stated, reference: CheckpointRef
) -> str | None:
    """Describe how a backbone differs from what is stated, None if it does not."""
    theirs, ours = [], []
    if stated.act is not None and stated.act != backbone.act:
        theirs.append(f'act={stated.act!r}')
        ours.append(f'act={backbone.act!r}')
    eps = stated.norm_eps
    if eps is not None and not math.isclose(eps, backbone.norm_eps, rel_tol=1e-3):
        theirs.append(f'norm_eps={write_eps(eps)}')
        ours.append(f'norm_eps={write_eps(backbone.norm_eps)}')
    if not theirs:
        return None
    given = ', '.join(theirs)
    cure = f'set {given} in the backbone'
    if stated.act is not None and stated.act not in ACTIVATIONS:
        cure = (
            f'this backbone has {", ".join(ACTIVATIONS)} only, so give weights that '
            f'were trained with one of them'
        )
    return (
        f'checkpoint {reference} was trained with {given} (according to '
        f'{stated.origin}), the model has {", ".join(ours)} and would compute '
        f'something else from the same weights: {cure}'
    )
