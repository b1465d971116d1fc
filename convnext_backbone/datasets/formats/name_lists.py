"""Reads VOC's lists: ``ImageSets/*/train.txt`` and others name the images of a split.

An image is named by its path from the folder of images, without suffix: ``cam1/7``.
Names may be quoted, as Datumaro and CVAT write those with blanks; a suffix, the name of
the folder of images, backslashes, and what else a line may have (VOC's ``1`` and
``-1``, or the path of the annotations) are understood where the name is known.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from convnext_backbone.datasets.formats.layout import is_image
from convnext_backbone.datasets.records import Fault

SPLITS = ('train', 'val', 'test')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s.*)?')
FLAGGED = re.compile(r'(.*\S)\s+(?:-1|0|1)')
PAIRED = re.compile(r'(\S+)\s+\S+\.\w+')


def read_lists(
    folder: Path, images: Path, names: Mapping[str, str]
) -> tuple[dict[str, str], list[Fault]]:
    """Return the split of each listed image, and faults of the lists.

    Args:
        folder: It has the lists ``train.txt``, ``val.txt``, ``test.txt`` and
            ``trainval.txt``, all of which may be missing. Without ``train.txt``, all
            of ``trainval.txt`` but what is in ``val.txt`` is for training.
        images: The folder that names start from.
        names: What may be listed, and the image that it stands for.

    Returns:
        Image -> split, in the lists' order; a name of no image stands for itself.
    """
    listed: dict[str, list[str]] = {}
    faults: list[Fault] = []
    for split in (*SPLITS, 'trainval'):
        file = folder / f'{split}.txt'
        if file.exists():
            listed[split], more = _read(file, images, names)
            faults += more
    trainval = listed.pop('trainval', [])
    if 'train' not in listed:
        val = set(listed.get('val', ()))
        listed = {'train': [name for name in trainval if name not in val], **listed}
    split_of: dict[str, str] = {}
    for split, found in listed.items():
        for name in found:
            other = split_of.setdefault(name, split)
            if other != split:
                place = str(folder / f'{split}.txt')
                message = (
                    f'{name} is in {other}.txt and in {split}.txt: remove it from one'
                )
                faults.append(Fault('error', 'in-two-splits', place, message, name))
    return split_of, faults


def left_out(images: Collection[Path], folder: Path, why: str) -> list[Fault]:
    """Return a fault, with one example, if images of a data set are not used."""
    if not images:
        return []
    example = min(images).relative_to(folder)
    message = f'{len(images)} images, such as {example}, {why}: they are left out'
    return [Fault('warning', 'left-out-image', str(folder), message)]


def _read(
    file: Path, images: Path, names: Mapping[str, str]
) -> tuple[list[str], list[Fault]]:
    """Return the images that a list names, and faults of names that are not clear."""
    text = file.read_text(encoding='utf-8-sig', errors='replace')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    flags = all(FLAGGED.fullmatch(line) and line not in names for line in lines)
    by_last: dict[str, set[str]] = {}
    for name, image in names.items():
        by_last.setdefault(name.rpartition('/')[2], set()).add(image)
    found, faults = [], []
    for line in lines:
        readings = list(_readings(line, images, flags))
        known = next((names[name] for name in readings if name in names), None)
        if known is None:  # a bare name, if it is clear which image it means
            bare = next((name for name in readings if name in by_last), readings[0])
            candidates = sorted(by_last.get(bare, ()))
            if len(candidates) > 1:
                shown = ' or '.join(candidates)
                message = (
                    f'lists {bare}, which may be {shown}: write the path from {images}'
                )
                faults.append(Fault('error', 'unclear-name', str(file), message, bare))
                continue
            known = candidates[0] if candidates else readings[0]
        found.append(known)
    return found, faults


def _readings(line: str, images: Path, flags: bool) -> Iterator[str]:
    """Yield what a line may name, the most likely first.

    Args:
        line: The line.
        images: The folder that names start from.
        flags: Whether the lines of its file have VOC's flags after the names.
    """
    quoted = QUOTED.fullmatch(line)
    if quoted:
        yield from _forms(re.sub(r'\\(["\\])', r'\1', quoted[1]), images)
    yield from _forms(line, images)
    for more in (FLAGGED.fullmatch(line) if flags else None, PAIRED.fullmatch(line)):
        if more:
            yield from _forms(more[1], images)


def _forms(name: str, images: Path) -> Iterator[str]:
    """Yield a name, without suffix, with slashes only, without the folder of images."""
    yield name
    if is_image(Path(name)):
        name = name.rpartition('.')[0]
    yield name
    name = name.replace('\\', '/').removeprefix('./').strip('/')
    yield name
    before, found, inside = name.rpartition(f'{images.name}/')
    if found and (not before or before.endswith('/')):
        yield inside
