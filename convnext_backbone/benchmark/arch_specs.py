"""The architectures that can be compared, and the drop path rates of their detectors.

Their names are the sizes, such as ``tiny``, for V1, and end in ``_v2``, such as
``tiny_v2``, for V2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from convnext_backbone.backbone.archs import ARCHS as SIZES
from convnext_backbone.foundation.errors import UserError

V2 = '_v2'
# Drop path rates of detectors: as published for V1 tiny to xlarge; the others are those
# of this project's configs, or of the nearest size.
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
    """An architecture to compare.

    Attributes:
        name: The size, and the version if it is V2.
        size: The size alone, which is how the peers name it.
        depths: Number of blocks in each stage.
        channels: Number of channels in each stage.
        use_grn: Whether it is V2, which has GRN and no layer scale.
        drop_path: Drop path rate of the last block when a detector is trained.
    """

    name: str
    size: str
    depths: tuple[int, ...]
    channels: tuple[int, ...]
    use_grn: bool
    drop_path: float


def find_archs(names: Sequence[str]) -> list[Arch]:
    """Look up architectures by their names.

    Raises:
        UserError: A name is unknown; the message lists the known ones.
    """
    unknown = [name for name in names if name not in DETECTION_RATES]
    if unknown:
        raise UserError(
            f'--archs {" ".join(unknown)}: expected names from '
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
