"""Checks the tables of a COCO json: images, annotations and categories."""

import math
from pathlib import Path

from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.errors import UserError


def table(file: Path, content: dict, what: str, key: str) -> list[dict]:
    """Return a table whose entries all have an id and ``key``.

    Raises:
        UserError: It is not a list, or an entry lacks one of them.
    """
    entries = content[what]
    if not isinstance(entries, list):
        raise UserError(f'{file}: {what} must be a list, got {entries!r:.40}')
    for entry in entries:
        if not isinstance(entry, dict):
            raise UserError(f'{file}: {what} has {entry!r:.40}, expected an object')
        value = entry.get(key)
        named = isinstance(value, str) or (key == 'name' and is_number(value))
        if not is_id(entry.get('id')) or not named:
            raise UserError(
                f'{file}: an entry of {what} lacks id or {key}: {entry!r:.80}; an id '
                f'(number or text) and {key} are needed'
            )
    return entries


def annotations_of(file: Path, content: dict) -> tuple[list[dict], list[Fault]]:
    """Return the annotations that state an image, and faults of the others.

    Raises:
        UserError: They are not a list.
    """
    entries = content.get('annotations') or []
    if not isinstance(entries, list):
        raise UserError(f'{file}: annotations must be a list, got {entries!r:.40}')
    good, faults = [], []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict) and is_id(entry.get('image_id')):
            good.append(entry)
            continue
        if isinstance(entry, dict):
            id = f'annotation {entry.get("id")}'
            message = f'has the image_id {entry.get("image_id")!r:.40}'
        else:
            id, message = f'entry {number}', f'is {entry!r:.40}, expected an object'
        message += ': correct it, or remove the annotation'
        faults.append(Fault('error', 'bad-annotation', str(file), message, id))
    for entry in good:
        if 'id' in entry and not is_id(entry['id']):
            message = f'has the id {entry["id"]!r:.40}: make it a number'
            id = f'annotation {entry["id"]}'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
    return good, faults


def is_id(value: object) -> bool:
    """Tell whether a JSON value can be an id."""
    return isinstance(value, str) or is_number(value)


def is_number(value: object) -> bool:
    """Tell whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the floats
        return False
