"""The archs that can be compared: sizes of both versions, and the rates they train at.

A name is that of a size, ``tiny``, for V1, and with ``_v2``, ``tiny_v2``, for V2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from convnext_backbone.backbone.archs import ARCHS as SIZES
from convnext_backbone.foundation.errors import UserError

V2 = '_v2'
# Drop path of the detectors: as published for V1 tiny to xlarge, and elsewhere that of
# this project's configs, or of the nearest size.
DETECTION_RATES = {
    'atto': 0.1,
    'femto': 0.1,
    'pico': 0.1,
    'nano': 0.1,
    'tiny': 0.4,
    'small': 0.6,
    'base': 0.7,
    'large': 0.7,
    'xlarge': 0.8,
    'huge': 0.8,
    'atto_v2': 0.1,
    'femto_v2': 0.1,
    'pico_v2': 0.1,
    'nano_v2': 0.1,
    'tiny_v2': 0.2,
    'small_v2': 0.4,
    'base_v2': 0.4,
    'large_v2': 0.4,
    'xlarge_v2': 0.4,
    'huge_v2': 0.4,
}


@dataclass(frozen=True)
class Arch:
    """A model to compare.

    ``size`` is the name that peers know it by, and ``drop_path`` the rate of the
    last block in a training of a detector.
    """

    name: str
    size: str
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    use_grn: bool
    drop_path: float


def find_archs(names: Sequence[str]) -> list[Arch]:
    """Look up archs by their names.

    Raises:
        UserError: A name is unknown; the message lists those that are not.
    """
    unknown = [name for name in names if name not in DETECTION_RATES]
    if unknown:
        raise UserError(
            f'--archs {" ".join(unknown)}: expected names out of '
            f'{", ".join(DETECTION_RATES)}'
        )
    return [
        Arch(
            name=name,
            size=name.removesuffix(V2),
            **SIZES[name.removesuffix(V2)],
            use_grn=name.endswith(V2),
            drop_path=DETECTION_RATES[name],
        )
        for name in names
    ]
