"""Names images by their paths below a folder: file names alone may occur twice."""

import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.dataset import BaseDataset


def image_folder(dataset: BaseDataset) -> str:
    """Return the folder that a data set's images are in, of several the common one."""
    parts = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if parts != [None]:  # it wraps others
        return os.path.commonpath([image_folder(part) for part in parts])
    prefix = getattr(dataset, 'data_prefix', None) or {}
    return os.path.abspath(prefix.get('img') or prefix.get('img_path') or '')


def common_folder(paths: Iterable[str]) -> str:
    """Return the lowest folder that has all files in it or below it."""
    return os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])


def name_below(path: str | Path, folder: str | Path) -> str:
    """Return a file's path from a folder; that from the root if it is not in it."""
    path = Path(os.path.abspath(path))
    inside = path.is_relative_to(folder)
    return path.relative_to(folder if inside else path.anchor).as_posix()
