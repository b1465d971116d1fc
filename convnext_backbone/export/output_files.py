"""The files of an export: none replaces other files, and none is written in part."""

import json
from pathlib import Path

from convnext_backbone.checkpoints import CheckpointRef, Source
from convnext_backbone.export.backends import SUFFIXES
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.json_files import write_json


def default_path(
    config: str, checkpoint: Source, work_dir: str | Path, kind: str, int8: bool
) -> Path:
    """Choose where to write: beside a local checkpoint, or else in the work dir.

    Args:
        config: The config file.
        checkpoint: The checkpoint's file, URL or name.
        work_dir: Where a training with the config writes.
        kind: The format.
        int8: Whether the model is quantised; its name then ends in ``_int8``.
    """
    local = CheckpointRef.parse(checkpoint).path
    folder = local.parent if local and local.is_file() else Path(work_dir)
    name = Path(config).stem + ('_int8' if int8 else '')
    return folder / f'{name}{SUFFIXES[kind]}'


def files_of(out: Path) -> list[Path]:
    """Return the files of an export, the JSON file last."""
    weights = [out.with_suffix('.bin')] if out.suffix == '.xml' else []
    return [*weights, out, description_of(out)]


def description_of(out: Path) -> Path:
    """Return the JSON file beside a model; its name contains the model's suffix."""
    return out.with_name(out.name + '.json')


def check_free(out: Path, kind: str, checkpoint: str) -> None:
    """Raise UserError if ``out`` has a wrong suffix or would replace other files.

    An earlier export of the same checkpoint may be replaced; the JSON file beside it
    names the checkpoint.
    """
    if out.suffix != SUFFIXES[kind]:
        raise UserError(
            f'--out {out}: a file of format {kind} ends in {SUFFIXES[kind]}'
        )
    with os_errors_told(f'writing --out {out}'):
        taken = [path for path in files_of(out) if path.exists()]
    if not taken:
        return
    earlier = _read_description(out)
    if earlier is None:
        raise UserError(
            f'{taken[0]} exists and is not an export of this tool to {out.name}: move '
            f'it away, or give another --out'
        )
    if earlier.get('checkpoint') != checkpoint:
        raise UserError(
            f'{taken[0]} is an export of {earlier.get("checkpoint")}: move it away, or '
            f'give another --out for {checkpoint}'
        )


def _read_description(out: Path) -> dict | None:
    """Return the JSON beside a model, None unless an export of ours wrote it."""
    try:
        content = json.loads(description_of(out).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and (
        str(content.get('exported_by')).startswith('convnext_backbone')
        and content.get('model') == out.name
    )
    return content if ours else None


def publish(folder: Path, out: Path, result: dict) -> None:
    """Move a finished export from a folder on the same file system to its place.

    Args:
        folder: Holds the files, under their final names.
        out: The final path of the model.
        result: The content of the JSON file.
    """
    write_json(folder / description_of(out).name, result)
    for path in files_of(out):
        (folder / path.name).replace(path)
