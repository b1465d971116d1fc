"""The published archs, and which arguments of the backbone are valid."""

import math
from collections.abc import Collection, Sequence

from convnext_backbone.foundation.errors import UserError

ARCHS: dict[str, dict[str, tuple[int, ...]]] = {
    'atto': dict(depths=(2, 2, 6, 2), channels=(40, 80, 160, 320)),
    'femto': dict(depths=(2, 2, 6, 2), channels=(48, 96, 192, 384)),
    'pico': dict(depths=(2, 2, 6, 2), channels=(64, 128, 256, 512)),
    'nano': dict(depths=(2, 2, 8, 2), channels=(80, 160, 320, 640)),
    'tiny': dict(depths=(3, 3, 9, 3), channels=(96, 192, 384, 768)),
    'small': dict(depths=(3, 3, 27, 3), channels=(96, 192, 384, 768)),
    'base': dict(depths=(3, 3, 27, 3), channels=(128, 256, 512, 1024)),
    'large': dict(depths=(3, 3, 27, 3), channels=(192, 384, 768, 1536)),
    'xlarge': dict(depths=(3, 3, 27, 3), channels=(256, 512, 1024, 2048)),
    'huge': dict(depths=(3, 3, 27, 3), channels=(352, 704, 1408, 2816)),
}


def parse_arch(arch: str | dict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Look up or validate an arch.

    Returns:
        Depths and channels, one entry a stage.

    Raises:
        UserError: The name is unknown, or the dict is not a valid arch.
    """
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise UserError(
                f'arch={arch!r} is unknown: expected one of {", ".join(ARCHS)}, or '
                f'dict(depths=..., channels=...)'
            )
        arch = ARCHS[arch]
    if not isinstance(arch, dict) or set(arch) != {'depths', 'channels'}:
        raise UserError(
            f'arch={arch!r}: expected a name from {", ".join(ARCHS)}, or a dict with '
            f'exactly the keys depths and channels'
        )
    if not all(isinstance(arch[key], Sequence) for key in ('depths', 'channels')):
        raise UserError(f'arch={arch!r}: depths and channels must be sequences')
    depths, channels = tuple(arch['depths']), tuple(arch['channels'])
    if not depths or len(depths) != len(channels):
        raise UserError(
            f'arch has {len(depths)} depths and {len(channels)} channels: expected one '
            f'of each per stage, and at least one stage'
        )
    if not all(_is_int(v) and v > 0 for v in depths + channels):
        raise UserError(f'arch={arch!r}: depths and channels must be positive integers')
    return depths, channels


def parse_out_indices(out_indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """Validate ``out_indices``: ascending stage numbers below ``num_stages``.

    Raises:
        UserError: They are not; the message states what is valid.
    """
    valid = (
        isinstance(out_indices, Sequence)
        and len(out_indices) > 0
        and all(_is_int(i) and 0 <= i < num_stages for i in out_indices)
        and list(out_indices) == sorted(set(out_indices))
    )
    if not valid:
        raise UserError(
            f'out_indices={out_indices!r}: expected a sequence of ascending stage '
            f'numbers from 0 to {num_stages - 1}, such as {tuple(range(num_stages))}'
        )
    return tuple(out_indices)


def check_arguments(
    in_channels: int,
    drop_path_rate: float,
    layer_scale_init_value: float,
    kernel_size: int,
    norm_eps: float,
) -> None:
    """Raise UserError for a scalar argument that is out of range."""
    if not _is_int(in_channels) or in_channels < 1:
        raise UserError(
            f'in_channels={in_channels!r}: expected a positive integer, 3 for RGB'
        )
    if not _is_number(drop_path_rate) or not 0 <= drop_path_rate < 1:
        raise UserError(
            f'drop_path_rate={drop_path_rate!r}: expected a probability in [0, 1); the '
            f'published recipes use 0.1 to 0.8'
        )
    if not _is_number(layer_scale_init_value) or layer_scale_init_value < 0:
        raise UserError(
            f'layer_scale_init_value={layer_scale_init_value!r}: expected a positive '
            f'number, or 0 for no layer scale'
        )
    if not _is_int(kernel_size) or kernel_size < 1 or kernel_size % 2 == 0:
        raise UserError(
            f'kernel_size={kernel_size!r}: expected a positive odd integer, so that '
            f'the map keeps its size; the published models use 7'
        )
    if not _is_number(norm_eps) or norm_eps <= 0:
        raise UserError(
            f'norm_eps={norm_eps!r}: expected a positive number; the published models '
            f'use 1e-6, a few of timm 1e-5'
        )


def check_frozen_stages(frozen_stages: int, num_stages: int) -> None:
    """Raise UserError unless ``frozen_stages`` is -1 up to the number of stages."""
    if not _is_int(frozen_stages) or not -1 <= frozen_stages <= num_stages:
        raise UserError(
            f'frozen_stages={frozen_stages!r}: expected an integer from -1 (none '
            f'frozen) to {num_stages}, the number of stages of this arch'
        )


def check_act(act: object, known: Collection[str]) -> None:
    """Raise UserError unless ``act`` is one of the ``known`` activations."""
    if not isinstance(act, str) or act not in known:
        raise UserError(
            f'act={act!r}: expected one of {", ".join(known)}; the published models '
            f'use gelu'
        )


def check_with_cp(with_cp: object, levels: Collection[bool | str]) -> None:
    """Raise UserError unless ``with_cp`` is one of the ``levels`` of recomputation."""
    if not isinstance(with_cp, bool | str) or with_cp not in levels:
        raise UserError(
            f'with_cp={with_cp!r}: expected one of {", ".join(map(repr, levels))}, '
            f'from no recomputation to the most'
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
