"""What data sets on disk have in common: image files, and folders named for splits."""

import re
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'}
SPLITS = {'train': 'train', 'training': 'train', 'trainval': 'train'}
SPLITS |= dict.fromkeys(('val', 'valid', 'validation', 'dev'), 'val')
SPLITS |= dict.fromkeys(('test', 'testing'), 'test')


def split_of(name: str) -> str:
    """Return 'train', 'val', 'test' or '' for a file's or folder's name.

    The name may have more words and a year in it: ``instances_val2017.json`` is 'val'.
    """
    for word in re.split(r'[^a-z]+', name.lower()):
        if word in SPLITS:
            return SPLITS[word]
    return ''


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is a picture; hidden files are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def list_images(folder: Path) -> list[Path]:
    """Return the pictures in a folder and the folders below it, by name."""
    return sorted(path for path in folder.rglob('*') if is_image(path))


def split_folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, folder) for each folder inside one that is named for a split."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and split_of(path.name):
            yield split_of(path.name), path


def folder_named(root: Path, *names: str) -> Path | None:
    """Return the folder in ``root`` with one of these names, in whatever case."""
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)
