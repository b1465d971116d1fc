"""What data sets on disk have in common: image files, and folders named for splits."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.files import list_folder, walk

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'}
SPLIT_WORDS = {'train': 'train', 'training': 'train', 'trainval': 'train'}
SPLIT_WORDS |= dict.fromkeys(('val', 'valid', 'validation', 'dev'), 'val')
SPLIT_WORDS |= dict.fromkeys(('test', 'testing'), 'test')
# Words that may follow the split in a name.
FILLERS = {'annotation', 'annotations', 'coco', 'data', 'images', 'img', 'imgs'}
FILLERS |= {'instances', 'labels', 'set'}


def split_of(name: str) -> str:
    """Return 'train', 'val', 'test' or '' for a file's or folder's name.

    The split is the last word, apart from digits and words such as 'images' after it:
    ``instances_val2017`` and ``val_images`` are 'val', ``train_station`` is none.
    """
    words = [word for word in re.split(r'[^a-z]+', name.lower()) if word]
    while words and words[-1] in FILLERS:
        words.pop()
    split = ''
    while words and words[-1] in SPLIT_WORDS:  # test-dev is 'test'
        split = SPLIT_WORDS[words.pop()]
    return split


def is_image(path: Path) -> bool:
    """Tell by its suffix whether a file is a picture; hidden files are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def list_images(folder: Path) -> list[Path]:
    """Return the pictures in a folder and the folders below it, by name."""
    return sorted(path for path in walk(folder) if is_image(path))


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a suffix, in whatever case, in a folder and below it."""
    return sorted(
        path
        for path in walk(folder)
        if path.suffix.lower() == suffix and not path.name.startswith('.')
    )


def split_folders(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, folder) for each folder inside one that is named for a split."""
    for path in list_folder(folder):
        if path.is_dir() and split_of(path.name):
            yield split_of(path.name), path


def folder_named(root: Path, *names: str) -> Path | None:
    """Return the folder in ``root`` with one of these names, in whatever case."""
    folders = {path.name.lower(): path for path in list_folder(root) if path.is_dir()}
    return next((folders[name] for name in names if name in folders), None)


def unread_annotations(
    root: Path, read: Iterable[Path], files: Iterable[Path]
) -> list[Fault]:
    """Return a fault for each folder in ``root`` whose annotation files are not read.

    Args:
        root: The folder that is divided.
        read: Folders in it, named for splits, that are read.
        files: Annotation files in ``root`` and below.
    """
    read = set(read)
    folders: dict[Path, Path] = {}
    for file in files:
        first = root / file.relative_to(root).parts[0]
        if first not in read:
            folders.setdefault(root if first == file else first, file)
    names = ', '.join(sorted(folder.name for folder in read))
    return [
        Fault(
            'error',
            'unread-folder',
            str(folder),
            f'has annotations such as {file.name} and belongs to no split, unlike '
            f'{names}: move its files into one of these folders, or elsewhere',
        )
        for folder, file in folders.items()
    ]
