"""Learning rates that fall with depth, as ConvNeXt's published recipes have them.

A parameter's learning rate is scaled by ``decay_rate ** (n + 1 - id)``. The id is
its place between the stem (0) and the heads (n + 1, scale 1); n follows from the
backbone's depths. Sources: facebookresearch/ConvNeXt, object_detection for
``layer_wise`` and semantic_segmentation for ``stage_wise``, whose numbers mmdet's and
mmseg's ports share; BEiT's count of blocks for ``block_wise``.
"""

import math
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from convnext_backbone.foundation.errors import UserError

# Components that wrappers (DDP, torch.compile, FSDP, checkpointing) put into names.
_WRAPPERS = re.compile(
    r'(?<![^.])'
    r'(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.'
)
_INSIDE_BACKBONE = re.compile(
    r'(?:(?:.+\.)?backbone\.)?'
    r'(?:(?P<part>downsample_layers|stages)\.(?P<stage>\d+)\.(?P<index>\d+)\.'
    r'|(?:cls_token|mask_token|pos_embed)$)'
)


def num_layers(depths: Sequence[int], decay_type: str = 'layer_wise') -> int:
    """Count the steps of a backbone: n in ``decay_rate ** (n + 1 - id)``.

    ``layer_wise`` and ``stage_wise`` share the published count, one step for each
    stage but stage 2, which has one for every three blocks: 6 for ConvNeXt-T, 12 for
    S to XL. ``block_wise`` has one for each block: 18 for T, 36 for S to XL.

    Raises:
        UserError: The published types are not defined for ``depths`` of other than
            four stages; or ``decay_type`` is unknown.
    """
    check_known([decay_type], DECAY_TYPES, 'decay_type')
    if decay_type == 'block_wise':
        return sum(depths)
    if len(depths) != 4:
        raise UserError(
            f"decay_type='{decay_type}' is defined for four stages only, got depths "
            f"{tuple(depths)}: use decay_type='block_wise'"
        )
    return 3 + math.ceil(depths[2] / 3)


def layer_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter as the detection recipes do (``layer_wise``).

    The stem is 0, stage 0 is 1, stage 1 with its downsample layer 2, stage 2 counts
    up from 3 every three blocks, the last stage with its downsample layer is n, and
    everything else (heads, the ``norm{i}`` of emitted stages) n + 1.

    Args:
        name: The parameter's name, in the backbone (``stages.0.0.gamma``) or in the
            model, where the backbone's prefix ends in ``backbone.``
            (``teacher.backbone.stages.0.0.gamma``). Components that wrappers add
            (``module.``, ``_orig_mod.``) count for nothing. Any other name is a
            head's: ``decode_head.stages.0.0.weight``.
        depths: Blocks of each of the four stages.

    Raises:
        UserError: ``depths`` has not four stages, or lacks the block named.
    """
    last = num_layers(depths, 'layer_wise')
    place = _locate(name, depths)
    if place is None:
        return last + 1
    stage, block = place
    if stage == 0:
        return 0 if block is None else 1
    if stage == 1:
        return 2
    if stage == 2:
        return 3 + (block or 0) // 3
    return last


def stage_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter as the segmentation recipes do (``stage_wise``).

    All downsample layers are 0, the blocks of stage i are i + 1, everything else is
    n + 1, so that n only sets the gap between backbone and heads. Names, arguments
    and errors are those of ``layer_id``.
    """
    last = num_layers(depths, 'stage_wise')
    place = _locate(name, depths)
    if place is None:
        return last + 1
    stage, block = place
    return 0 if block is None else stage + 1


def block_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter by its block, as is usual for ViTs (``block_wise``).

    The stem is 0, the blocks of all stages count up from 1, a downsample layer goes
    with the block it feeds, everything else is ``sum(depths) + 1``. Works for any
    number of stages. Names, arguments and errors are those of ``layer_id``.
    """
    place = _locate(name, depths)
    if place is None:
        return num_layers(depths, 'block_wise') + 1
    stage, block = place
    if stage == 0 and block is None:
        return 0
    return 1 + sum(depths[:stage]) + (block or 0)


DECAY_TYPES = {
    'layer_wise': layer_id,
    'stage_wise': stage_id,
    'block_wise': block_id,
}


def _locate(name: str, depths: Sequence[int]) -> tuple[int, int | None] | None:
    """Return (stage, block), block None for a downsample layer; None if outside."""
    match = _INSIDE_BACKBONE.match(_WRAPPERS.sub('', name))
    if match is None:
        return None
    if match['part'] is None:
        return 0, None
    stage = int(match['stage'])
    block = int(match['index']) if match['part'] == 'stages' else None
    if stage >= len(depths) or (block or 0) >= depths[stage]:
        raise UserError(
            f'{name!r} does not exist in a backbone of depths {tuple(depths)}: '
            'pass the depths of the backbone that the parameter comes from'
        )
    return stage, block


def check_known(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise UserError for a key that is not known, with the nearest that is."""
    for key in keys:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise UserError(
                f'{where}: expected {", ".join(sorted(known))}, got {key!r}{hint}'
            )
