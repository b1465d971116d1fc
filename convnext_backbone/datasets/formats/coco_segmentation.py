"""Checks a segmentation as COCO writes it: polygons or an RLE."""

from convnext_backbone.datasets.formats.coco_tables import is_number


def check_segmentation(segmentation: object, width: int, height: int) -> str | None:
    """Return what is wrong with a segmentation, None if nothing is.

    Args:
        segmentation: Polygons, or an RLE with counts as numbers or as a string.
        width: Of the image, in pixels.
        height: Likewise.
    """
    if isinstance(segmentation, dict):
        return _check_rle(segmentation, width, height)
    if not isinstance(segmentation, list):
        return f'has a segmentation of type {type(segmentation).__name__}'
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            length = len(polygon) if isinstance(polygon, list) else polygon
            return (
                f'has a polygon of {length} numbers: expected x, y pairs of at least 3 '
                f'points'
            )
        wrong = [value for value in polygon if not is_number(value)]
        if wrong:
            return f'has a polygon with {wrong[0]!r} in it: expected finite numbers'
    return None


def _check_rle(segmentation: dict, width: int, height: int) -> str | None:
    size, counts = segmentation.get('size'), segmentation.get('counts')
    if size != [height, width]:
        return f'has an RLE of size {size}, expected [{height}, {width}]'
    if isinstance(counts, str):
        counts = _runs(counts)
        if counts is None:
            return 'has an RLE that cannot be decoded'
    if not isinstance(counts, list):
        return 'has an RLE without counts'
    if not all(type(count) is int and count >= 0 for count in counts):
        return 'has an RLE with counts that are not whole numbers from 0 on'
    if sum(counts) != width * height:
        return (
            f'has an RLE with counts for {sum(counts)} pixels, expected '
            f'{width * height}'
        )
    return None


def _runs(counts: str) -> list[int] | None:
    """Return the runs of a compressed RLE, None if it is none.

    pycocotools does not notice runs that end before the image does: it returns
    whatever the memory held there.
    """
    runs: list[int] = []
    value = shift = 0
    for char in counts:
        code = ord(char) - 48
        if not 0 <= code < 64:
            return None
        value |= (code & 31) << shift
        shift += 5
        if code & 32:  # more of this number follows
            continue
        if code & 16:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs
