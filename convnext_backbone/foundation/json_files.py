"""JSON files, written whole or not at all."""

import json
import math
from pathlib import Path
from typing import TypeVar

from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import write_bytes

Content = TypeVar('Content', dict, list)


def read_json(path: str | Path, kind: type[Content]) -> Content:
    """Read a JSON file that the project wrote itself.

    Args:
        path: The file.
        kind: What it holds: an object is a dict, an array a list.

    Raises:
        UserError: The file cannot be read, or is damaged.
    """
    with os_errors_told(f'reading {path}'):
        text = Path(path).read_bytes()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{path} is not valid JSON ({error}): restore the damaged file, or remove '
            f'it'
        ) from error
    if not isinstance(content, kind):
        raise UserError(
            f'{path} holds {content!r:.40}, expected a JSON '
            f'{"object" if kind is dict else "array"}: restore the damaged file, or '
            f'remove it'
        )
    return content


def write_json(path: str | Path, content: object) -> None:
    """Write JSON so that a reader never sees half a file.

    A number that is not finite, such as the AP of a class without any object, is
    written as null: JSON has no NaN. Numbers of numpy become Python's.

    Raises:
        UserError: The file cannot be written.
    """
    text = json.dumps(_plain(content), indent=1, allow_nan=False)
    write_bytes(path, f'{text}\n'.encode())


def _plain(content: object) -> object:
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if hasattr(content, 'item') and not hasattr(content, '__len__'):  # numpy's scalars
        content = content.item()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
