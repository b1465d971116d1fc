"""Reads one annotation of a COCO json: its box, its mask, and whether it counts."""

from typing import Literal

from convnext_backbone.datasets.formats.coco_boxes import (
    check_against_area,
    check_against_mask,
)
from convnext_backbone.datasets.formats.coco_flags import is_ignored
from convnext_backbone.datasets.formats.coco_segmentation import check_segmentation
from convnext_backbone.datasets.formats.coco_tables import is_number
from convnext_backbone.datasets.records import Fault, Instance


def read_object(
    annotation: dict, category: str, file: str, width: int, height: int
) -> tuple[Instance | None, list[Fault]]:
    """Read an annotation.

    Args:
        annotation: An entry of the json.
        category: The name of its class.
        file: The json, for messages.
        width: Of the image, in pixels.
        height: Likewise.

    Returns:
        The object, None if it cannot be used; and what is wrong with it.
    """
    id = f'annotation {annotation.get("id")}'
    faults: list[Fault] = []

    def fault(
        kind: str, message: str, level: Literal['error', 'warning'] = 'error'
    ) -> list[Fault]:
        return [Fault(level, kind, file, message, id)]

    bbox = annotation.get('bbox')
    if not isinstance(bbox, list) or [*map(is_number, bbox)] != [True] * 4:
        message = f'has the bbox {bbox!r}, expected x, y, width, height'
        return None, fault('bad-annotation', message)
    x, y, w, h = bbox
    segmentation = annotation.get('segmentation') or None
    wrong = segmentation and check_segmentation(segmentation, width, height)
    if wrong:
        return None, fault('bad-segmentation', wrong)
    try:
        crowd = is_ignored(annotation)
    except ValueError as error:
        return None, fault('bad-annotation', str(error))
    if segmentation and not crowd:
        differs = check_against_mask(bbox, segmentation, width, height)
        if differs is not None and differs[0]:
            faults = fault('box-notation', differs[1])
        elif differs is not None:
            faults = fault('box-and-mask-differ', differs[1], 'warning')
    elif not segmentation:
        wrong = check_against_area(bbox, annotation.get('area'))
        faults = fault('box-notation', wrong) if wrong else []
    return Instance(category, (x, y, x + w, y + h), id, segmentation, crowd), faults
