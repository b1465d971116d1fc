"""Pictures of the page: images drawn on, as JPEGs inside of the HTML."""

import base64

import cv2
import mmcv
import numpy as np

SIDE = 560  # pixels of the longer side of every picture
QUALITY = 82
MOST_NAMES = 20  # in a picture: more of them would hide it


def load(path: str) -> np.ndarray:
    """Read an image, BGR, scaled to the size of the page's pictures."""
    image = mmcv.imread(path)
    height, width = image.shape[:2]
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=way)


def data_uri(image: np.ndarray) -> str:
    """Encode a picture, BGR, as a data URI."""
    _, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return 'data:image/jpeg;base64,' + base64.b64encode(jpeg.tobytes()).decode()


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    palette: list[tuple[int, int, int]],
    names: list[str],
    masks: np.ndarray | None = None,
) -> np.ndarray:
    """Draw instances so that they are told apart at half the size.

    Args:
        image: BGR.
        boxes: (N, 4) as x1, y1, x2, y2 in its pixels.
        labels: (N,), which choose the colours.
        palette: RGB of each class.
        names: What to write at each of them; empty where that says nothing.
        masks: (N, h, w) in the pixels of the original image; drawn in place of boxes.
    """
    import supervision as sv  # takes a second to load

    if not len(boxes):
        return image
    if masks is not None:
        size = image.shape[1], image.shape[0]
        near = cv2.INTER_NEAREST
        masks = np.stack([cv2.resize(m, size, interpolation=near) for m in masks])
        masks = masks.astype(bool)
    found = sv.Detections(xyxy=boxes, class_id=labels.astype(int), mask=masks)
    colours = sv.ColorPalette([sv.Color(*map(int, colour)) for colour in palette])
    picture = image.copy()
    if masks is None:
        picture = sv.BoxAnnotator(colours, thickness=2).annotate(picture, found)
    else:
        picture = sv.MaskAnnotator(colours, opacity=0.4).annotate(picture, found)
        picture = sv.PolygonAnnotator(colours, thickness=2).annotate(picture, found)
    if names and len(names) <= MOST_NAMES:
        labeller = sv.LabelAnnotator(colours, text_scale=0.45, text_padding=3)
        picture = labeller.annotate(picture, found, names)
    return picture
