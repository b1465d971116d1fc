"""Checks one image: it must open, decode to its end, and stand upright."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from convnext_backbone.datasets.records import Fault

THUMBNAIL = 16  # pixels a side
PLAIN = ('JPEG', 'PNG')  # formats that Pillow and OpenCV, which trains, read alike

Image.MAX_IMAGE_PIXELS = None  # a large image of one's own is no attack


@dataclass(frozen=True)
class ImageInfo:
    """The size and thumbnail of an image, as in :class:`~.records.Record`."""

    width: int
    height: int
    thumbnail: np.ndarray


def check_image(path: Path) -> tuple[ImageInfo | None, list[Fault]]:
    """Decode an image, JPEGs at a fraction of their size, which takes less time.

    Returns:
        The size that training sees (EXIF's orientation is applied when an image is
        loaded) and the thumbnail, None if it cannot be read; and what is wrong.
    """
    file = str(path)
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.format not in PLAIN:
                return _decode_as_training(path)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            image.draft('L', (4 * THUMBNAIL, 4 * THUMBNAIL))
            grey = image.convert('F' if image.mode.startswith('I') else 'L')
    except FileNotFoundError:
        message = 'does not exist: put it there, or remove it from the annotations'
        return None, [Fault('error', 'missing-image', file, message)]
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        kind = 'truncated' if 'truncated' in str(error) else 'unreadable'
        message = f'cannot be decoded ({error}): replace it, or remove it'
        return None, [Fault('error', f'{kind}-image', file, message)]
    faults = []
    if orientation not in (0, 1):
        message = (
            f'has EXIF orientation {orientation}: it is turned upright when it is '
            f'loaded; see that its annotations were made on the upright picture, or '
            f'save it without EXIF'
        )
        faults.append(Fault('warning', 'exif-rotation', file, message))
        if orientation >= 5:
            width, height = height, width
    thumbnail = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    pixels: np.ndarray = np.asarray(thumbnail, np.float32)
    if grey.mode == 'F':  # 16 bits
        pixels = pixels / 256
    return ImageInfo(width, height, pixels.clip(0, 255).astype(np.uint8)), faults


def _decode_as_training(path: Path) -> tuple[ImageInfo | None, list[Fault]]:
    """Decode an image with OpenCV, as training does."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        message = 'cannot be decoded by OpenCV, which loads images: save it as PNG'
        return None, [Fault('error', 'unreadable-image', str(path), message)]
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    side = (THUMBNAIL, THUMBNAIL)
    thumbnail = cv2.resize(grey, side, interpolation=cv2.INTER_AREA)
    return ImageInfo(pixels.shape[1], pixels.shape[0], thumbnail), []
