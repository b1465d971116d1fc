"""The files that Meta published with ConvNeXt V1 and V2, by name."""

import difflib
from pathlib import PurePosixPath

from convnext_backbone.foundation.errors import UserError

BASE = 'https://dl.fbaipublicfiles.com/convnext/'

_V2_SIZES = ('atto', 'femto', 'pico', 'nano', 'tiny', 'base', 'large', 'huge')

_V1 = [
    *(
        f'convnext_{size}_1k_224{ema}.pth'
        for size in ('tiny', 'small', 'base', 'large')
        for ema in ('', '_ema')
    ),
    *(f'convnext_{size}_1k_384.pth' for size in ('base', 'large')),
    *(
        f'convnext_{size}_22k_224.pth'
        for size in ('tiny', 'small', 'base', 'large', 'xlarge')
    ),
    *(
        f'convnext_{size}_22k_1k_{side}.pth'
        for size in ('tiny', 'small', 'base', 'large')
        for side in (224, 384)
    ),
    *(f'convnext_xlarge_22k_1k_{side}_ema.pth' for side in (224, 384)),
]

_V2 = [
    *(f'convnextv2/pt_only/convnextv2_{size}_1k_224_fcmae.pt' for size in _V2_SIZES),
    *(f'convnextv2/im1k/convnextv2_{size}_1k_224_ema.pt' for size in _V2_SIZES),
    *(
        f'convnextv2/im22k/convnextv2_{size}_22k_{side}_ema.pt'
        for size, sides in (
            ('nano', (224, 384)),
            ('tiny', (224, 384)),
            ('base', (224, 384)),
            ('large', (224, 384)),
            ('huge', (384, 512)),
        )
        for side in sides
    ),
]

_COCO = [
    'coco/mask_rcnn_convnext_tiny_1k_3x.pth',
    *(
        f'coco/cascade_mask_rcnn_convnext_{size}_1k_3x.pth'
        for size in ('tiny', 'small', 'base')
    ),
    *(
        f'coco/cascade_mask_rcnn_convnext_{size}_22k_3x.pth'
        for size in ('base', 'large', 'xlarge')
    ),
]

_ADE20K = [
    *(
        f'ade20k/upernet_convnext_{size}_1k_512x512.pth'
        for size in ('tiny', 'small', 'base')
    ),
    *(
        f'ade20k/upernet_convnext_{size}_22k_640x640.pth'
        for size in ('base', 'large', 'xlarge')
    ),
]

# Name -> path under BASE. Classifiers go by their file's name alone; detectors and
# segmentors keep their folder, which says what they were trained on.
FILES = {PurePosixPath(path).stem: path for path in _V1 + _V2} | {
    path.removesuffix('.pth'): path for path in _COCO + _ADE20K
}


def resolve(name: str) -> str:
    """Return the URL of a published file.

    Args:
        name: As in ``convnextv2_tiny_1k_224_fcmae`` or
            ``coco/mask_rcnn_convnext_tiny_1k_3x``, with or without .pth or .pt.

    Raises:
        UserError: Meta published no such file; the message has the nearest names.
    """
    stem = name.removesuffix('.pth').removesuffix('.pt')
    if stem not in FILES:
        near = difflib.get_close_matches(stem, FILES, n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else f'see {__name__}'
        raise UserError(f'meta://{name} is not a file that Meta published: {hint}')
    return BASE + FILES[stem]
