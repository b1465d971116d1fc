"""Tells symbolic links of a data set that do not lead to any data."""

from pathlib import Path

from convnext_backbone.datasets.formats.layout import IMAGE_SUFFIXES
from convnext_backbone.datasets.records import Fault, Level, Source
from convnext_backbone.foundation.files import LOOPS, find_broken_links

# A broken link to such a file is told where the file is read.
READ_SUFFIXES = IMAGE_SUFFIXES | {'.txt', '.xml'}


def link_faults(source: Source) -> list[Fault]:
    """Return a fault for each link that may have led to images or annotations.

    It is an error in a folder that data is read from, a warning elsewhere in the data
    set's folder.
    """
    used, tops = _folders(source)
    faults: dict[Path, Fault] = {}
    for top in tops:
        for link, reason in find_broken_links(top):
            hidden = any(part.startswith('.') for part in link.relative_to(top).parts)
            if hidden or link.suffix.lower() in READ_SUFFIXES:
                continue
            if reason == LOOPS:
                message = f'{reason}: remove it'
                fault = Fault('warning', 'link-loop', str(link), message)
            else:
                level: Level = 'error' if link.parent in used else 'warning'
                message = f'{reason}: restore what it led to, or remove it'
                fault = Fault(level, 'broken-link', str(link), message)
            faults.setdefault(link, fault)
    return list(faults.values())


def _folders(source: Source) -> tuple[set[Path], list[Path]]:
    """Return the folders that lead to images and annotations, and those to search.

    The data set's folder is searched, and the folders of what is not in it; of a single
    json only the images' folders, as it may lie among other things.
    """
    files = {item.image for item in source.items}
    files |= {i.annotation for i in source.items if isinstance(i.annotation, Path)}
    root = source.root if source.root.is_dir() else None
    used = set() if root is None else {root}
    outside: set[Path] = set()
    for folder in {file.parent for file in files}:
        if root is None or not folder.is_relative_to(root):
            outside.add(folder)
            continue
        while folder not in used:
            used.add(folder)
            folder = folder.parent
    tops = [p for p in outside if not outside.intersection(p.parents)]
    return used | outside, [*([] if root is None else [root]), *sorted(tops)]
