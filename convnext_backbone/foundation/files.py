"""Folders listed completely, and files written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from convnext_backbone.foundation.errors import os_errors_told

LOOPS = 'is a link to a folder above it and is not followed'
LONGEST_LINK = 1024  # bytes; a longer file is not looked into for the path of a link
LOOKED_INTO = ('', '.json', '.yaml', '.yml')  # suffixes of what may be such a file


def list_folder(folder: Path) -> list[Path]:
    """Return what is directly in a folder, by name.

    Raises:
        UserError: The folder cannot be listed.
    """
    with os_errors_told(f'listing {folder}'):
        return sorted(folder.iterdir())


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file and folder below one; nothing if it does not exist.

    Links to folders are followed, except those that lead back to a folder above them:
    these are yielded, and what is behind them is not. ``Path.rglob`` leaves out,
    without a word, the folders that it may not list.

    Raises:
        UserError: A folder cannot be listed.
    """
    for path, _, _ in _walk(folder):
        yield path


def find_broken_links(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each link below a folder that is not followed, and why not.

    It leads nowhere, or back to a folder above it; or it is a text file in place of a
    link, see :func:`broken_link`: those are looked for that may have led to a folder
    or to a file of JSON or YAML.

    Raises:
        UserError: A folder cannot be listed.
    """
    for path, is_link, loops in _walk(folder):
        if loops:
            yield path, LOOPS
        elif is_link or path.suffix.lower() in LOOKED_INTO:
            reason = broken_link(path)
            if reason:
                yield path, reason


def broken_link(path: Path) -> str | None:
    """Return why a link leads nowhere; None if it leads somewhere, or is no link.

    Where ``core.symlinks`` is off git writes a text file in place of a link, as some
    archives and copies do: a file that holds nothing but a relative path, or the path
    of something that exists, is taken for one.
    """
    if path.is_symlink():
        if path.exists():
            return None
        return f'is a link to {path.readlink()}, which cannot be reached'
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_LINK:
            return None
        target = path.read_bytes().decode()
        if not target or set(target) & set('\n\0'):
            return None
        relative = target.startswith(('../', './'))
        if relative or (path.parent / target).exists():
            return f'is a text file in place of a link to {target}'
    except (OSError, UnicodeDecodeError):  # not text, or not a path
        pass
    return None


def as_written(path: Path) -> Path:
    """Return a path made absolute, without ``..``; links in it are kept.

    A ``..`` behind a link leads to another folder than the one that the path names
    before it; only such a path is resolved.
    """
    plain = Path(os.path.abspath(path))
    if '..' not in path.parts or not path.exists():
        return plain
    same = plain.exists() and plain.samefile(path)
    return plain if same else path.resolve()


def _walk(folder: Path) -> Iterator[tuple[Path, bool, bool]]:
    """Yield what is below a folder, whether it is a link, and whether it leads up."""
    # Of each folder: its real path, and those of the folders whose links led there.
    todo: list[tuple[Path, str, tuple[str, ...]]]
    todo = [(folder, os.path.realpath(folder), ())]
    while todo:
        place, real, crossed = todo.pop()
        with os_errors_told(f'listing {folder}'):
            try:
                with os.scandir(place) as listing:
                    entries = list(listing)
            except (FileNotFoundError, NotADirectoryError):
                continue
        for entry in entries:
            path, loops = Path(place, entry.name), False
            if entry.is_symlink() and os.path.isdir(path):
                target = os.path.realpath(path)
                above = (*crossed, real)
                loops = any(_is_inside(part, target) for part in above)
                if not loops:
                    todo.append((path, target, above))
            elif entry.is_dir(follow_symlinks=False):
                todo.append((path, os.path.join(real, entry.name), crossed))
            yield path, entry.is_symlink(), loops


def _is_inside(path: str, folder: str) -> bool:
    """Tell whether a real path is a folder or is inside it."""
    return path == folder or path.startswith(os.path.join(folder, ''))


def make_folder(folder: str | Path) -> None:
    """Create a folder, and those above it, unless it exists.

    Raises:
        UserError: It cannot be created.
    """
    with os_errors_told(f'creating the folder {folder}'):
        _make_folder(Path(folder))


def check_writable(path: str | Path) -> None:
    """Create the folder of a file that is to be written after a long computation.

    Raises:
        UserError: The file cannot be written there.
    """
    path = Path(path)
    with os_errors_told(f'writing {path}'):
        _make_folder(path.parent)
        if path.is_dir():
            raise _os_error(errno.EISDIR, path)
        if not os.access(path.parent, os.W_OK):
            raise _os_error(errno.EACCES, path.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file so that a reader never sees half of it; create its folder.

    Raises:
        UserError: The file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + '.part')
    check_writable(path)
    with os_errors_told(f'writing {path}'):
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # there is a file of this name
        raise _os_error(errno.ENOTDIR, folder) from None


def _os_error(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), str(path))
