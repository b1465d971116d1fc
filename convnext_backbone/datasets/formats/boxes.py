"""Checks one object's box, the same for every format."""

import math

from convnext_backbone.datasets.records import Fault, Instance, Level

ZERO = 1e-3  # pixels; a narrower box has no area
LEAST = 1.0  # pixels; training leaves out a narrower box (mmdet's data sets)
SLACK = 1.0  # pixels that a box may extend beyond its image without a warning


def check_box(
    instance: Instance, file: str, width: int, height: int
) -> tuple[Instance | None, list[Fault]]:
    """Clip an object's box to its image.

    Args:
        instance: The object.
        file: Where its annotation is, for the message.
        width: Of the image, in pixels.
        height: Likewise.

    Returns:
        The object, None where it cannot be used; and what is wrong with it.
    """
    x1, y1, x2, y2 = box = tuple(map(float, instance.box))
    shown = ', '.join(f'{value:g}' for value in box)
    where = f'box ({shown}) of {instance.category!r}'

    def fault(level: Level, kind: str, message: str) -> list[Fault]:
        return [Fault(level, kind, file, f'{where} {message}', instance.id)]

    if not all(map(math.isfinite, box)) or x2 < x1 or y2 < y1:
        message = 'has a negative size: x1, y1, x2, y2 must ascend; correct it'
        return None, fault('error', 'negative-area', message)
    if min(x2 - x1, y2 - y1) < ZERO:
        return None, fault('warning', 'zero-area', 'has no area: it is left out')
    if min(x1, y1) >= 0 and max(x2, y2) <= 1:
        message = (
            'lies in the first pixel: its numbers seem to be relative to the size of '
            'the image, from 0 to 1; write pixels'
        )
        return None, fault('error', 'relative-box', message)
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        message = (
            f'lies outside its image of {width}x{height} pixels: is it the right '
            f'image, at the size that was annotated?'
        )
        return None, fault('error', 'box-outside', message)
    faults = []
    if max(-x1, -y1, x2 - width, y2 - height) > SLACK:
        message = f'extends beyond its image of {width}x{height} pixels: it is clipped'
        faults = fault('warning', 'box-outside', message)
    instance.box = (max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height))
    x1, y1, x2, y2 = instance.box
    if min(x2 - x1, y2 - y1) < LEAST and not instance.crowd:
        message = 'is less than a pixel wide or high in its image: it is left out'
        return None, faults + fault('warning', 'zero-area', message)
    return instance, faults
