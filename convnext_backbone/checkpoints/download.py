"""Downloads a file into the cache, once, going on where a transfer broke off."""

import hashlib
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from functools import cache
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from filelock import AcquireReturnProxy, FileLock, Timeout
from tqdm import tqdm

from convnext_backbone.checkpoints.errors import CheckpointError
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.home import home_dir

TIMEOUT = 10  # seconds to connect, and between two pieces of a file
WAITS = (0.5, 1, 2, 4)  # seconds before each further try, while nothing new comes
PATIENCE = 5  # seconds to wait for another process before saying so
CHUNK = 1 << 16  # bytes
BUSY = (429, 500, 502, 503, 504)  # HTTP statuses that may pass


def cache_dir() -> Path:
    """Return the folder that keeps what was downloaded, a folder for each host."""
    return home_dir('checkpoints')


def cached_path(url: str) -> Path:
    """Return where the file of ``url`` is kept; no two URLs share a path.

    Raises:
        UserError: The URL names no host or no file.
    """
    try:
        parts = urlsplit(url)
        default = 443 if parts.scheme == 'https' else 80
        port = parts.port or default
    except ValueError as error:
        raise UserError(f'{url} is not a URL: {error}') from error
    folders = [part for part in parts.path.split('/') if part not in ('', '.', '..')]
    if not parts.hostname or not folders or parts.path.endswith('/'):
        raise UserError(f'{url} names no file: expected https://HOST/PATH/FILE')
    host = parts.hostname if port == 443 else f'{parts.hostname}:{port}'
    name = folders.pop()
    if parts.query:
        # The path of a URL has no literal '?'. The suffix tells the file's format.
        query = quote(parts.query, safe='=&')
        if len(query) > 100:  # file names may have 255 characters
            query = hashlib.sha256(query.encode()).hexdigest()
        name = f'{name}?{query}{Path(name).suffix}'
    return Path(cache_dir(), host, *folders, name)


def download(url: str, sha256: str | None = None) -> Path:
    """Return the local copy of a file, fetched unless it is in the cache already.

    Several processes may ask for the same file at once; one of them fetches it.

    Args:
        url: Of scheme http or https. Proxies are taken from the environment.
        sha256: Hash that the file must have, 64 lower-case hex digits. Without one it
            is compared with the start of a hash that its name may hold,
            as in ``convnext_nano_d1h-7eb4bdea.pth``.

    Raises:
        UserError: The file cannot be had, or cannot be written; what has come of it
            is kept for next time.
        CheckpointError: It has another hash, and was removed.
    """
    target = cached_path(url)
    with os_errors_told(f'{url} cannot be kept in the cache'):
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _lock(target):
                if not target.is_file():
                    part = target.with_name(f'{target.name}.part')
                    _log(f'Downloading {url} to {target}')
                    _complete(url, part, target)
                    _memo(part).unlink()
                    _check(part, sha256 or _hash_in_name(url), url)
                    os.replace(part, target)
                    return target
        _check(target, sha256 or _hash_in_name(url), url)
    return target


def hash_problem(path: Path, expected: str) -> str | None:
    """Compare a file with its SHA-256, or the start of it; None when they agree."""
    state = path.stat()
    got = _digest(path, state.st_size, state.st_mtime_ns)
    if got.startswith(expected):
        return None
    return f'expected SHA-256 {expected}{"..." * (len(expected) < 64)}, got {got}'


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Hash a file, once in each state: a checkpoint is fetched several times a run."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _check(path: Path, expected: str | None, url: str) -> None:
    """Remove a file that has another hash than expected, and raise."""
    problem = hash_problem(path, expected) if expected else None
    if problem:
        path.unlink(missing_ok=True)
        raise CheckpointError(
            f'{url} is not the file it should be: {problem}. {path} was removed; the '
            f'next run downloads the file again'
        )


def _hash_in_name(url: str) -> str | None:
    """Find the hash in a file name; a date, of digits alone, is none."""
    found = re.search(r'-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.[^.]+$', urlsplit(url).path)
    return found and found[1]


def _lock(target: Path) -> AcquireReturnProxy:
    """Keep other processes from downloading ``target``, or wait for the one that is."""
    lock = FileLock(f'{target}.lock')
    try:
        return lock.acquire(timeout=PATIENCE)
    except Timeout:
        _log(f'Waiting for another process that downloads {target}')
        return lock.acquire()


class _Failure(Exception):
    """A try that did not bring the whole file; another may go on from there."""


class _Refused(_Failure):
    """There is no such file for us; nobody need be asked again."""


class _NoAnswer(_Failure):
    """There is no server; unless there was one before, the machine is offline."""


def _complete(url: str, part: Path, target: Path) -> None:
    """Transfer the file into ``part``, in as many tries as bring it further."""
    start = furthest = _size(part)
    failures = 0
    while True:
        try:
            return _transfer(url, part)
        except _Failure as failure:
            size = _size(part)
            failures = 1 if size > furthest else failures + 1
            furthest = max(furthest, size)
            offline = isinstance(failure, _NoAnswer) and furthest == start
            refused = isinstance(failure, _Refused)
            if offline or refused or failures > len(WAITS):
                kept = (
                    f' ({size} bytes of it are kept and resumed from)' if size else ''
                )
                raise UserError(
                    f'{url} cannot be downloaded: {failure}{kept}. Fetch it on '
                    f'another machine (curl -LO {shlex.quote(url)}) and put it at '
                    f'{target}, where it is found'
                ) from failure
            _log(f'The download of {url} broke off: {failure}. Trying again')
            time.sleep(WAITS[failures - 1])


def _transfer(url: str, part: Path) -> None:
    """Add what ``part`` lacks, or begin it anew where it cannot be continued.

    Raises:
        _Failure: The transfer ended early, or is to be begun anew.
    """
    memo = _read_memo(part)
    offset = _size(part) if memo['validator'] else 0
    with _open(url, part, offset, memo['validator']) as response:
        if response.status == 206:
            length = _length_of_all(response, offset, memo)
            if length is None:
                part.unlink(missing_ok=True)
                raise _Failure('the file on the server has changed')
        else:
            offset, length = 0, response.length
        with part.open('ab' if offset else 'wb') as file:
            if not offset:  # after the old bytes are gone, which it does not describe
                memo = {'validator': _validator(response), 'length': length}
                _memo(part).write_text(json.dumps(memo), encoding='utf-8')
            with _progress(url, offset, length) as bar:
                for chunk in _chunks(response):
                    file.write(chunk)
                    bar.update(len(chunk))
    if length is not None and _size(part) != length:
        raise _Failure(f'the transfer ended after {_size(part)} of {length} bytes')


def _open(url: str, part: Path, offset: int, validator: str | None) -> HTTPResponse:
    """Request the file from ``offset`` on, if it is still the one of ``validator``."""
    headers = {'User-Agent': 'convnext_backbone'}
    if offset and validator:
        headers |= {'Range': f'bytes={offset}-', 'If-Range': validator}
    request = Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)
    try:
        return urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)
        kind = _Failure if error.code in (416, *BUSY) else _Refused
        raise kind(f'HTTP {error.code} {error.reason}') from error
    except URLError as error:
        raise _NoAnswer(error.reason) from error
    except TimeoutError as error:
        raise _NoAnswer(f'no answer within {TIMEOUT} s') from error
    except (InvalidURL, UnicodeError) as error:
        raise _Refused(error) from error
    except (OSError, HTTPException) as error:
        raise _Failure(error) from error


def _length_of_all(response: HTTPResponse, offset: int, memo: dict) -> int | None:
    """Return the length of the whole file, None if the answer does not continue it."""
    pattern = rf'bytes {offset}-\d+/(\d+)'
    found = re.fullmatch(pattern, response.headers.get('Content-Range', ''))
    same = _validator(response) in (None, memo['validator'])
    if not found or not same or memo['length'] not in (None, int(found[1])):
        return None
    return int(found[1])


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """Read the body; errors of the network become _Failure, unlike the disk's."""
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise _Failure(error) from error
        if not chunk:
            return
        yield chunk


def _validator(response: HTTPResponse) -> str | None:
    """Return what names this version of the file, byte for byte."""
    etag = response.headers.get('ETag')
    if etag and not etag.startswith('W/'):
        return etag
    return response.headers.get('Last-Modified')


def _memo(part: Path) -> Path:
    """Return the file beside ``part`` that holds its version and whole length."""
    return part.with_name(f'{part.name}.json')


def _read_memo(part: Path) -> dict:
    try:
        memo = json.loads(_memo(part).read_text(encoding='utf-8'))
        return {'validator': memo['validator'], 'length': memo['length']}
    except (OSError, ValueError, KeyError, TypeError):
        return {'validator': None, 'length': None}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _progress(url: str, offset: int, length: int | None) -> tqdm:
    """Build a bar in bytes, drawn on a terminal and by the main process only."""
    from mmengine.dist import is_main_process  # loads torch

    return tqdm(
        desc=Path(urlsplit(url).path).name,
        initial=offset,
        total=length,
        unit='B',
        unit_scale=True,
        disable=None if is_main_process() else True,
    )


def _log(message: str) -> None:
    from mmengine.logging import MMLogger  # loads torch

    MMLogger.get_current_instance().info(message)
