"""Pictures as PNG files."""

from pathlib import Path

import cv2
import numpy as np

from convnext_backbone.foundation.files import write_bytes


def write_png(path: str | Path, picture: np.ndarray, level: int | None = None) -> None:
    """Write a picture, whole or not at all; create its folder.

    ``cv2.imwrite`` returns False, without a reason, where it cannot write.

    Args:
        path: The file to write.
        picture: uint8 (H, W, 3) in BGR, or (H, W).
        level: Compression, from 0 (none) to 9; None leaves it to OpenCV.

    Raises:
        UserError: The file cannot be written.
    """
    options = [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level]
    encoded, data = cv2.imencode('.png', picture, options)
    assert encoded, 'a picture has 1 or 3 channels of uint8'
    write_bytes(path, data.tobytes())
