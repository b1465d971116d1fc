"""Reads files that name the classes of a segmentation data set.

One class a line, in the order of their numbers, with or without a colour:
``building``, ``building 60 16 152``, ``building,60,16,152``; CVAT's labelmap.txt
(``building:60,16,152::``); or class_dict.csv with the header ``name,r,g,b``.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import list_folder

Colour = tuple[int, int, int]  # RGB

NAMES = (
    'classes.txt',
    'class_names.txt',
    'labels.txt',
    'labelmap.txt',
    'class_dict.csv',
)
IGNORED_NAMES = {'unlabeled', 'unlabelled', 'ignore', 'ignored', 'void', 'unknown', '-'}
BACKGROUND_NAMES = {'background', 'bg', 'other', 'others', 'none', 'clutter'}
CVAT = re.compile(r'(?P<name>.+?):(?P<colour>[^:]*):[^:]*:[^:]*')
NUMBER = r'[-+]?\d+(?:\.\d+)?'
COLOURED = re.compile(
    rf'(?P<name>.*?)[\s,;:]+(?P<colour>{NUMBER}[\s,;]+{NUMBER}[\s,;]+{NUMBER})'
)


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """A line of a class file: a name and, where it is given, the colour in masks."""

    name: str
    colour: Colour | None = None

    @property
    def ignored(self) -> bool:
        """Whether the name says that its pixels do not count: no class, that is."""
        return self.name.strip('_ ').lower() in IGNORED_NAMES

    @property
    def background(self) -> bool:
        """Whether the name says that its pixels are what no other class covers."""
        return self.name.strip('_ ').lower() in BACKGROUND_NAMES


def find_class_file(root: Path) -> Path | None:
    """Return the class file in a folder, else one in the folders directly in it.

    Raises:
        UserError: There are two, with other names; or one is faulty.
    """
    folders = [path for path in list_folder(root) if path.is_dir()]
    for folder in (root, *folders):
        files = [folder / name for name in NAMES if (folder / name).exists()]
        if files:
            return files[0] if len(files) == 1 else _one_of(files)
    return None


def _one_of(files: list[Path]) -> Path:
    """Return one of several class files that agree, the one with colours."""
    entries = {file: read_class_file(file) for file in files}
    first = files[0]
    for file in files[1:]:
        if [e.name for e in entries[file]] != [e.name for e in entries[first]]:
            raise UserError(
                f'{first} and {file} name other classes: remove the wrong file'
            )
    return next((f for f in files if entries[f][0].colour is not None), first)


def read_class_file(path: Path) -> list[ClassEntry]:
    """Read a class file; which form it has is seen from its name and its lines.

    Raises:
        UserError: It is empty, not text, names a class or colour twice, gives colours
            to some classes only, or a colour has values beyond 0 to 255.
    """
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(
            f'{path} is not UTF-8 text ({error}): save it as UTF-8'
        ) from None
    read = _csv_rows if path.suffix.lower() == '.csv' else _text_rows
    lines: dict[object, int] = {}  # name or colour -> its line
    entries: list[ClassEntry] = []
    for number, name, colour in read(path, text):
        where = f'{path}, line {number}'
        if not name:
            raise UserError(f'{where}: there is no name before the colour; write one')
        entry = ClassEntry(name, _colour(colour, where) if colour else None)
        unique = (None if entry.ignored else entry.name, entry.colour)
        for what in filter(None, unique):
            if what in lines:
                kind = 'name' if isinstance(what, str) else 'colour'
                raise UserError(
                    f'{where}: the {kind} {what!r} is already used in line '
                    f'{lines[what]}; give each class its own'
                )
            lines[what] = number
        if entries and (entry.colour is None) != (entries[0].colour is None):
            raise UserError(
                f'{where}: some classes have a colour and some have none; give one '
                f'to each class, or to none'
            )
        entries.append(entry)
    if not entries:
        raise UserError(f'{path} names no class: write one name a line')
    return entries


def _text_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield (line number, name, colour's numbers); lines that begin with # are left."""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        match = CVAT.fullmatch(line) or COLOURED.fullmatch(line)
        if match:
            yield (
                number,
                match['name'].strip(),
                re.findall(r'[^\s,;]+', match['colour']),
            )
        else:
            yield number, line, []


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Likewise for a table with the header name,r,g,b."""
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = {str(field).strip().lower(): field for field in rows.fieldnames or ()}
    missing = [name for name in ('name', 'r', 'g', 'b') if name not in columns]
    if missing:
        raise UserError(
            f'{path}, line 1: the header has no column {", ".join(missing)}; '
            f'begin the file with name,r,g,b'
        )
    for row in rows:
        cells = [(row[columns[name]] or '').strip() for name in ('name', 'r', 'g', 'b')]
        yield rows.line_num, cells[0], cells[1:]


def _colour(numbers: list[str], where: str) -> Colour:
    """Return a colour of three numbers from 0 to 255."""
    try:
        colour = tuple(int(number) for number in numbers)
    except ValueError:
        colour = ()
    if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
        raise UserError(
            f'{where}: {" ".join(numbers)!r} is not a colour; write three whole '
            f'numbers from 0 to 255: red, green, blue'
        )
    return colour
