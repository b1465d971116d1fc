"""Checks one image: it must open, decode to its end, and stand upright."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from convnext_backbone.datasets.depth import peak
from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.files import broken_link

THUMBNAIL = 16  # pixels a side
# Formats that Pillow and OpenCV, which trains, read alike; MPO is JPEGs in one file.
PLAIN = ('JPEG', 'MPO', 'PNG')
ROTATED = 5  # EXIF orientations from this one on swap width and height

Image.MAX_IMAGE_PIXELS = None  # a large image of one's own is no attack


@dataclass(frozen=True)
class ImageInfo:
    """Size, thumbnail and peak of an image, as in :class:`~.records.Record`."""

    width: int
    height: int
    thumbnail: np.ndarray
    peak: int | None = None


def check_image(path: Path) -> tuple[ImageInfo | None, list[Fault]]:
    """Decode an image, JPEGs at a fraction of their size, which takes less time.

    Returns:
        The size that training sees (EXIF's orientation is applied when an image is
        loaded) and the thumbnail, None if it cannot be read; and what is wrong.
    """
    file = str(path)
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            faults = _frame_faults(path, image)
            greatest = peak(path, image)
            format = image.format or ''
            if format in PLAIN:
                width, height = image.size
                image.draft('L', (4 * THUMBNAIL, 4 * THUMBNAIL))
                grey = image.convert('F' if image.mode.startswith('I') else 'L')
    except FileNotFoundError:
        reason = broken_link(path) or 'does not exist'
        message = f'{reason}: put it there, or remove it from the annotations'
        return None, [Fault('error', 'missing-image', file, message)]
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        kind = 'truncated' if 'truncated' in str(error) else 'unreadable'
        reason = broken_link(path) or f'cannot be decoded ({error})'
        message = f'{reason}: replace it, or remove it'
        return None, [Fault('error', f'{kind}-image', file, message)]
    turned = False
    if orientation not in (0, 1):
        turned = _turns(path, format)
        faults.append(_orientation_fault(path, format, orientation, turned))
    if format not in PLAIN:
        return _decode_as_training(path, faults, greatest)
    if turned and orientation >= ROTATED:
        width, height = height, width
    small = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels: np.ndarray = np.asarray(small, np.float32)
    if grey.mode == 'F':  # 16 bits
        pixels = pixels / 256
    thumbnail = pixels.clip(0, 255).astype(np.uint8)
    return ImageInfo(width, height, thumbnail, greatest), faults


def _decode_as_training(
    path: Path, faults: list[Fault], greatest: int | None
) -> tuple[ImageInfo | None, list[Fault]]:
    """Decode an image with OpenCV, as training does."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        message = 'cannot be decoded by OpenCV, which loads images: save it as PNG'
        return None, [Fault('error', 'unreadable-image', str(path), message)]
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    side = (THUMBNAIL, THUMBNAIL)
    thumbnail = cv2.resize(grey, side, interpolation=cv2.INTER_AREA)
    return ImageInfo(pixels.shape[1], pixels.shape[0], thumbnail, greatest), faults


def _frame_faults(path: Path, image: Image.Image) -> list[Fault]:
    """Tell that a file has more pictures than the one that is loaded."""
    frames = getattr(image, 'n_frames', 1)
    if frames == 1 or image.format == 'MPO':  # an MPO's others are views of the first
        return []
    message = f'holds {frames} pictures, of which only the first is used: divide it'
    return [Fault('warning', 'several-pictures', str(path), message)]


def _turns(path: Path, format: str) -> bool:
    """Tell whether OpenCV turns an image upright, which depends on its version."""
    if format == 'TIFF':  # whatever it is told
        return True
    data = np.fromfile(path, np.uint8)
    flags = cv2.IMREAD_COLOR
    upright = cv2.imdecode(data, flags)
    stored = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if upright is None or stored is None:
        return False
    return not np.array_equal(upright, stored)


def _orientation_fault(
    path: Path, format: str, orientation: int, turned: bool
) -> Fault:
    """Tell that annotations may have been made on a picture that is turned."""
    if turned:
        message = (
            f'has EXIF orientation {orientation}: it is turned upright when it is '
            f'loaded; see that its annotations were made on the upright picture, or '
            f'save it without EXIF'
        )
    else:
        message = (
            f'has EXIF orientation {orientation}, which OpenCV does not follow in '
            f'{format}: it is loaded as it is stored, and most programs show it '
            f'upright; see on which picture its annotations were made, and save it '
            f'without EXIF'
        )
    return Fault('warning', 'exif-rotation', str(path), message)
