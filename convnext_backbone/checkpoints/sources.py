"""What a user writes for a checkpoint -> a local file."""

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import (
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)

from convnext_backbone.checkpoints import published
from convnext_backbone.checkpoints.download import cache_dir, download, hash_problem
from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.foundation.errors import UserError

SCHEMES = ('http', 'https', 'timm', 'hf', 'meta')
FORMS = (
    'a file, a work dir, an http(s) URL, timm://MODEL.TAG, '
    'hf://ORG/NAME[@REVISION][/FILE] or meta://NAME'
)
WEIGHTS = ('model.safetensors', 'pytorch_model.bin')  # of a Hugging Face repository
# Seconds, for each of the Hub's addresses that does not answer.
HUB_TIMEOUT = float(os.environ.get('HF_HUB_ETAG_TIMEOUT', 5))


def split_fragment(source: str) -> tuple[str, str | None, str | None]:
    """Split ``LOCATION#sha256=HEX&PART``; a local path that exists is all location.

    Returns:
        The location; the part of the file to load, an entry (``model_ema``), the
        beginning of names (``backbone``) or both, joined by &; and the hash that the
        file must have. None for what is not stated.

    Raises:
        UserError: There is more than one hash.
    """
    literal = not is_remote(source) and os.path.exists(os.path.expanduser(source))
    if '#' not in source or literal:
        return source, None, None
    location, _, fragment = source.rpartition('#')
    hashes, parts = [], []
    for part in filter(None, fragment.split('&')):
        (hashes if part.startswith('sha256=') else parts).append(part)
    if len(hashes) > 1:
        raise UserError(f'{source} ends in {fragment!r}: expected one sha256=HEX')
    sha256 = hashes[0].removeprefix('sha256=') if hashes else None
    return location, '&'.join(parts) or None, sha256


def name_part(source: str, part: str) -> str:
    """Write how to take ``part`` of what ``source`` already takes."""
    location, taken, _ = split_fragment(source)
    return f'{location}#{f"{taken}&" if taken else ""}{part}'


def is_remote(source: str) -> bool:
    """Tell whether ``source`` has one of our schemes, and so is no local path."""
    return _scheme(source) in SCHEMES


def _scheme(source: str) -> str | None:
    found = re.match(r'([A-Za-z][\w+.-]*)://', source)
    return found and found[1].lower()


def fetch(source: str | Path, sha256: str | None = None) -> Path:
    """Return the local file of a checkpoint, downloaded where that is needed.

    A file that is in a cache already is used as it is, without a look at the network.

    Args:
        source: A file; a Hugging Face folder; or a URL of scheme http, https, timm,
            hf or meta. ``#sha256=HEX`` may follow, and an entry name, which is left
            to the reader of the file.
        sha256: Hash that the file must have, 64 hex digits; goes before the source's.

    Raises:
        UserError: There is no such file, or it cannot be had; the message states how
            to go on.
        CheckpointError: The file has another hash. A downloaded one was removed.
    """
    source = os.fspath(source)
    location, _, stated = split_fragment(source)
    sha256 = stated if sha256 is None else sha256
    if sha256 is not None and not re.fullmatch('[0-9a-fA-F]{64}', sha256):
        raise UserError(f'{source}: sha256 is {sha256!r}, expected 64 hex digits')
    sha256 = sha256 and sha256.lower()
    scheme = _scheme(location)
    name = location.partition('://')[2]
    if scheme in ('http', 'https'):
        return download(location, sha256)
    if scheme == 'meta':
        return download(published.resolve(name), sha256)
    if scheme == 'timm':
        return fetch(_find_in_timm(name), sha256)
    if scheme == 'hf':
        path = _download_from_hub(name)
    elif scheme is None:
        path = _find_local(location)
    else:
        raise UserError(f'checkpoint {location}: {scheme}:// is unknown; give {FORMS}')
    problem = hash_problem(path, sha256) if sha256 else None
    if problem:
        gone = scheme == 'hf' and discard(path)
        advice = (
            f'. {path} was removed; the next run downloads it again' if gone else ''
        )
        raise CheckpointError(
            f'{location} is not the file it should be: {problem}{advice}'
        )
    return path


def pick_file(source: str | Path) -> str:
    """Replace a local folder in a source by the checkpoint in it.

    A Hugging Face folder means its weights, a work dir its newest ``best_*.pth``, or
    else the file that ``last_checkpoint`` names. Anything else stays as it is.

    Raises:
        UserError: There is no such file or folder, or no checkpoint in it.
    """
    source = os.fspath(source)
    location, part, sha256 = split_fragment(source)
    if _scheme(location) is not None:
        return source
    return f'{_find_local(location)}{source[len(location) :]}'


def last_checkpoint(folder: str | Path) -> str | None:
    """Return the checkpoint that was saved last in a work dir, None if there is none.

    It is the one that mmengine's note names; where a killed run left no note, or the
    folder was moved, the newest.
    """
    note = Path(folder, 'last_checkpoint')
    path = note.read_text(encoding='utf-8').strip() if note.is_file() else None
    if path and Path(path).is_file():
        return path
    saved = [*Path(folder).glob('epoch_*.pth'), *Path(folder).glob('iter_*.pth')]
    return str(max(saved, key=lambda p: p.stat().st_mtime)) if saved else None


def _find_local(location: str) -> Path:
    """Return the file at a path, or the one that a folder means."""
    if not location:
        raise UserError(
            f'the checkpoint is an empty string (a shell variable that is not set?): '
            f'give {FORMS}'
        )
    path = Path(location).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        best = sorted(path.glob('best_*.pth'), key=lambda p: p.stat().st_mtime)
        known = [path / name for name in WEIGHTS if (path / name).is_file()]
        last = last_checkpoint(path)
        if known or best or last:
            return known[0] if known else best[-1] if best else Path(last)
        raise UserError(
            f'folder {location} holds no checkpoint: neither best_*.pth nor a '
            f'last_checkpoint, as a work dir has, nor {" or ".join(WEIGHTS)}: give a '
            f'file'
        )
    if location.removesuffix('.pth').removesuffix('.pt') in published.FILES:
        raise UserError(
            f'checkpoint {location} does not exist; did you mean meta://{location}?'
        )
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    names = [p.name for p in siblings if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=3)
    hint = f' (did you mean {" or ".join(near)}?)' if near else ''
    raise UserError(f'checkpoint {location} does not exist{hint}: give {FORMS}')


def _find_in_timm(name: str) -> str:
    """Return the source of weights that timm knows; without a tag, its default's.

    timm is asked for the address only: to load a file, it would unpickle it.
    """
    from timm.models import get_pretrained_cfg, list_pretrained  # loads torch

    try:
        cfg = get_pretrained_cfg(name)
    except RuntimeError:  # there is such a model, without this tag
        cfg = None
    if cfg is not None and cfg.hf_hub_id:
        file = f'/{cfg.hf_hub_filename}' if cfg.hf_hub_filename else ''
        return f'hf://{cfg.hf_hub_id}{file}'
    if cfg is not None and cfg.url:
        return cfg.url
    near = difflib.get_close_matches(name, list_pretrained('convnext*'), n=3)
    hint = f'did you mean {" or ".join(near)}?' if near else 'see timm.list_pretrained'
    raise UserError(f'timm://{name}: the installed timm has no such weights: {hint}')


def _download_from_hub(location: str) -> Path:
    """Return a file of ``ORG/NAME[@REVISION][/FILE]``, from the Hub or its cache."""
    found = re.fullmatch(r'([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?', location)
    if not found:
        raise UserError(
            f'hf://{location}: expected hf://ORG/NAME[@REVISION][/FILE], a revision '
            f'with its / written %2F'
        )
    repo, revision, file = found.groups()
    revision = revision and revision.replace('%2F', '/')
    names = (file,) if file else WEIGHTS
    try:
        for name in names:
            cached = try_to_load_from_cache(repo, name, revision=revision)
            if isinstance(cached, str):
                return Path(cached)
        for name in names:
            try:
                # hf_hub_download retries for 23 s where a connection is refused, and
                # for minutes where nothing answers; this asks once.
                url = hf_hub_url(repo, name, revision=revision)
                get_hf_file_metadata(url, timeout=HUB_TIMEOUT)
                return Path(hf_hub_download(repo, name, revision=revision))
            except errors.RemoteEntryNotFoundError:
                continue
    # RuntimeError is of hf_xet, the Hub's own transfer protocol.
    except (
        errors.HTTPError,
        errors.LocalEntryNotFoundError,
        ConnectionError,
        RuntimeError,
    ) as error:
        problem = _describe(error, repo, revision, names)
        raise UserError(f'hf://{location} {problem}') from error
    except ValueError as error:  # a name that no repository or file can have
        raise UserError(f'hf://{location}: {error}') from error
    raise UserError(
        f'hf://{location}: the repository has no {" and no ".join(names)}; see '
        f'{constants.ENDPOINT}/{repo}/tree/{revision or "main"} and give '
        f'hf://{repo}/FILE'
    )


def _describe(
    error: Exception, repo: str, revision: str | None, names: tuple[str, ...]
) -> str:
    """Say what an error of the Hub means for the user, and what to do about it."""
    page = f'{constants.ENDPOINT}/{repo}'
    if isinstance(error, errors.GatedRepoError):
        return f'is gated: accept its terms at {page}, then run `hf auth login`'
    if isinstance(error, errors.RepositoryNotFoundError):
        return 'does not exist or is private: check the name, or run `hf auth login`'
    if isinstance(error, errors.RevisionNotFoundError):
        return f'has no revision {revision}: see the branches and tags at {page}'
    reason = str(error.__cause__ or error).strip().partition('\n')[0]
    at = f' --revision {revision}' if revision else ''
    return (
        f'cannot be downloaded: {reason}. {" and ".join(names)} are not in the cache '
        f'{constants.HF_HUB_CACHE} either: on a machine with network run '
        f'`hf download {repo} {names[0]}{at}`, then give the path of the file'
    )


def discard(path: Path) -> bool:
    """Remove a downloaded file, so that the next :func:`fetch` gets it anew.

    In the Hub's cache the file is a link to a blob; both are removed.

    Returns:
        Whether ``path`` was in one of the caches. Other files are left alone, and so
        are those of torch itself, which stand in no folder of a host.
    """
    own, hub = cache_dir().resolve(), Path(constants.HF_HUB_CACHE).resolve()
    path = path.parent.resolve() / path.name
    if own in path.parent.parents:
        path.unlink(missing_ok=True)
        return True
    if hub not in path.parents:
        return False
    while path.is_symlink() and hub in path.parents:
        link, path = path, Path(os.path.normpath(path.parent / path.readlink()))
        link.unlink()
    if hub in path.parents:
        path.unlink(missing_ok=True)
    return True


@contextmanager
def drop_broken(path: Path) -> Iterator[None]:
    """Remove a file from its cache when reading it in the block finds it damaged.

    One that is sound and asks to run code stays: it may be trusted next time.
    """
    try:
        yield
    except UnsafeCheckpointError:
        raise
    except CheckpointError as error:
        if discard(path):
            raise CheckpointError(
                f'{error}; it was removed from the cache and will be fetched again'
            ) from error
        raise
