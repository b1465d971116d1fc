"""The pictures of the page, which are JPEGs inside the HTML."""

import base64

import cv2
import mmcv
import numpy as np

from convnext_backbone.foundation.errors import UserError, os_errors_told

SIDE = 560  # pixels of the longer side of every picture
QUALITY = 82


def load(path: str) -> np.ndarray:
    """Read an image, BGR, scaled to the size of the page's pictures.

    Raises:
        UserError: The image cannot be read.
    """
    with os_errors_told('reading an image for the report'):
        image = mmcv.imread(path)
    if image is None:
        raise UserError(f'image {path} cannot be read: it is damaged, or not an image')
    height, width = image.shape[:2]
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=way)


def data_uri(image: np.ndarray) -> str:
    """Encode a picture, BGR, as a data URI."""
    _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return 'data:image/jpeg;base64,' + base64.b64encode(jpeg.tobytes()).decode()
