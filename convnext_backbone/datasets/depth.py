"""Finds images of 16 bits that hold data of fewer, which training sees as black.

OpenCV, which loads images, keeps the high byte: what a camera of 12 bits writes into 16
becomes 0 to 15 of 255.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from convnext_backbone.datasets.records import Fault, Record

BITS = 16
DARK_BITS = 12  # and less is nothing that can be learned from
DIM_BITS = 14  # and less is a quarter of the brightness that there could be
PNG_DEPTH = 24  # offset of the bit depth in a PNG file
TIFF_DEPTH = 258  # tag of TIFF's bits per sample


def peak(path: Path, image: Image.Image) -> int | None:
    """Return the greatest value in an image of 16 bits, None for one of 8.

    Args:
        path: The file.
        image: The same, opened by Pillow.
    """
    if image.format == 'PNG':
        with path.open('rb') as stream:
            deep = stream.read(PNG_DEPTH + 1)[PNG_DEPTH] == BITS
    elif image.format == 'TIFF':
        deep = BITS in getattr(image, 'tag_v2', {}).get(TIFF_DEPTH, ())
    else:  # neither OpenCV nor Pillow reads other formats with more than 8 bits
        deep = False
    if not deep:
        return None
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if pixels is None else peak_of(pixels)


def dark_peak(path: Path) -> int | None:
    """Return the greatest value of an image of 16 bits that training sees as black."""
    with Image.open(path) as image:
        greatest = peak(path, image)
    return None if greatest is None or greatest >= 1 << DARK_BITS else greatest


def peak_of(pixels: np.ndarray) -> int | None:
    """Return the greatest value of decoded pixels without their transparency."""
    if pixels.dtype.itemsize * 8 != BITS:
        return None
    colours = pixels[..., :3] if pixels.ndim == 3 else pixels
    return int(colours.max())


def check_depth(root: Path, records: Sequence[Record]) -> list[Fault]:
    """Return a fault if some images of 16 bits, or all, use few of them.

    It is a warning: the images may be of the night.

    Args:
        root: Of the data set.
        records: What was read of it.
    """
    deep = sorted((r.peak, str(r.image)) for r in records if r.peak is not None)
    dark = [entry for entry in deep if entry[0] < 1 << DARK_BITS]
    if not dark and deep and deep[-1][0] < 1 << DIM_BITS:
        dark = deep
    if not dark:
        return []
    highest, example = dark[-1]
    message = (
        f'{len(dark)} of {len(deep)} images of 16 bits, such as {example}, '
        f'{describe_peak(highest)}'
    )
    return [Fault('warning', 'dark-16-bit', str(root), message)]


def describe_peak(highest: int) -> str:
    """Say in words what training sees of dark images of 16 bits, and how to mend it.

    Args:
        highest: The greatest value of all of them.
    """
    bits = max(8, highest.bit_length())
    save = f'divide them by {1 << (bits - 8)} and ' if bits > 8 else ''
    return (
        f'have values up to {highest} only, as data of {bits} bits has: 0 to '
        f'{highest >> (BITS - 8)} of 255 is what is seen of them; multiply the pixels '
        f'by {1 << (BITS - bits)}, or {save}save 8 bits'
    )
