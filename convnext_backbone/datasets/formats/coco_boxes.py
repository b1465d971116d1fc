"""Compares the box of a COCO annotation with what else states where the object is.

``bbox`` is x, y, width, height; files in which it is x1, y1, x2, y2 are common. The
object's polygon or RLE shows it, or its area, or boxes that leave their images.
"""

from collections.abc import Iterator

from pycocotools import mask as coco_mask

from convnext_backbone.datasets.formats.coco_tables import is_number

PIXEL, SHARE = 1.0, 0.01  # a larger difference, in pixels and of the side, is told
ENOUGH = 4  # boxes that show how all of a file are meant
OUTSIDE = 0.25  # of them that must leave their images

Box = tuple[float, float, float, float]  # x1, y1, x2, y2
CORNERS = 'its numbers seem to be x1, y1, x2, y2: write x, y, width, height'


def check_against_mask(
    bbox: list[float], segmentation: list | dict, width: int, height: int
) -> tuple[bool, str] | None:
    """Compare a box with the extent of its mask, both clipped to the image.

    Args:
        bbox: As the file has it.
        segmentation: Polygons or an RLE, both checked.
        width: Of the image, in pixels.
        height: Likewise.

    Returns:
        Whether the box is in another notation, and what is wrong; None if they agree.
    """
    extent = _extent(segmentation, width, height)
    if extent is None:
        return None
    x, y, w, h = bbox
    shown = ', '.join(f'{value:g}' for value in extent)
    message = f'has the bbox {bbox}, but its segmentation extends over {shown}'
    if _agree(_clip((x, y, x + w, y + h), width, height), extent):
        return None
    if _agree(_clip((x, y, w, h), width, height), extent):
        return True, f'{message} (x1, y1, x2, y2): {CORNERS}'
    return False, (
        f'{message} (x1, y1, x2, y2): correct one of them; the box is trained as it is'
    )


def check_against_area(bbox: list[float], area: object) -> str | None:
    """Return what is wrong with the box of an object without a mask, if its area tells.

    Args:
        bbox: As the file has it.
        area: Likewise; it may be missing.
    """
    x, y, w, h = bbox
    if not isinstance(area, int | float) or not is_number(area) or area <= 0:
        return None
    corners = (w - x) * (h - y) if w > x and h > y else 0
    if abs(w * h - area) <= SHARE * area or abs(corners - area) > SHARE * area:
        return None
    return f'has the bbox {bbox} and the area {area:g}: {CORNERS}'


def are_corners(annotations: list[dict], images: dict[object, dict]) -> bool:
    """Tell whether all boxes of a file must be meant as x1, y1, x2, y2.

    Many leave their images if they are x, y, width, height, and none does otherwise.

    Args:
        annotations: Entries of the file, with an image each.
        images: Its images by id.
    """
    count = outside = 0
    for (x, y, w, h), width, height in _boxes(annotations, images):
        if not (x < w <= width + PIXEL and y < h <= height + PIXEL):
            return False
        count += 1
        outside += x + w > width + PIXEL or y + h > height + PIXEL
    return count >= ENOUGH and outside >= OUTSIDE * count


def _boxes(
    annotations: list[dict], images: dict[object, dict]
) -> Iterator[tuple[list[float], float, float]]:
    """Yield the boxes of four numbers, each with the stated size of its image."""
    for annotation in annotations:
        box = annotation.get('bbox')
        image = images.get(annotation['image_id'], {})
        if not isinstance(box, list) or len(box) != 4:
            continue
        width, height = image.get('width', 0), image.get('height', 0)
        if all(map(is_number, (*box, width, height))):
            yield box, width, height


def _extent(segmentation: list | dict, width: int, height: int) -> Box | None:
    """Return the box of a mask, None if it is empty."""
    if isinstance(segmentation, list):
        xs = [x for polygon in segmentation for x in polygon[::2]]
        ys = [y for polygon in segmentation for y in polygon[1::2]]
        return _clip((min(xs), min(ys), max(xs), max(ys)), width, height)
    runs = segmentation
    if isinstance(segmentation['counts'], list):
        runs = coco_mask.frPyObjects(segmentation, height, width)
    x, y, w, h = map(float, coco_mask.toBbox(runs))
    return (x, y, x + w, y + h) if w and h else None


def _clip(box: Box, width: int, height: int) -> Box:
    x1, y1, x2, y2 = box
    return (
        min(max(x1, 0), width),
        min(max(y1, 0), height),
        min(max(x2, 0), width),
        min(max(y2, 0), height),
    )


def _agree(box: Box, other: Box) -> bool:
    """Tell whether corners differ by a pixel, or a hundredth of the side, at most."""
    for i in (0, 1):
        side = max(box[i + 2] - box[i], other[i + 2] - other[i])
        limit = max(PIXEL, SHARE * side)
        if any(abs(box[j] - other[j]) > limit + 1e-6 for j in (i, i + 2)):
            return False
    return True
