"""JSON files, written whole or not at all."""

import json
import math
from pathlib import Path

from convnext_backbone.foundation.errors import os_errors_told


def write_json(path: str | Path, content: object) -> None:
    """Write JSON so that a reader never sees half a file.

    A number that is not finite, such as the AP of a class without any object, is
    written as null: JSON has no NaN. Numbers of numpy become Python's.

    Raises:
        UserError: The file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + '.part')
    text = json.dumps(_plain(content), indent=1, allow_nan=False)
    with os_errors_told(f'writing {path}'):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text + '\n', encoding='utf-8')
        partial.replace(path)


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
