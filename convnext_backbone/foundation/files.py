"""Folders listed completely, and files written whole or not at all."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from convnext_backbone.foundation.errors import os_errors_told


def list_folder(folder: Path) -> list[Path]:
    """Return what is directly in a folder, by name.

    Raises:
        UserError: The folder cannot be listed.
    """
    with os_errors_told(f'listing {folder}'):
        return sorted(folder.iterdir())


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file and folder below one; nothing if it does not exist.

    ``Path.rglob`` leaves out, without a word, the folders that it may not list. As
    there, links to folders are not followed.

    Raises:
        UserError: A folder cannot be listed.
    """

    def tell(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    with os_errors_told(f'listing {folder}'):
        for place, folders, files in os.walk(folder, onerror=tell):
            for name in (*folders, *files):
                yield Path(place, name)


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
