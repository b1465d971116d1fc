"""A checkpoint's source -> a local file."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convnext_backbone.checkpoints import hub, published
from convnext_backbone.checkpoints.download import cache_dir, download, hash_problem
from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.foundation.errors import UserError, os_errors_told

FORMS = (
    'a file, a work dir, an http(s) URL, timm://MODEL.TAG, '
    'hf://ORG/NAME[@REVISION][/FILE] or meta://NAME'
)


def fetch(source: Source, sha256: str | None = None) -> Path:
    """Return the local file of a checkpoint, downloaded where that is needed.

    A file that is in a cache already is used as it is, without a look at the network.

    Args:
        source: A file; a folder, see :func:`pick_file`; or a URL of scheme http,
            https, timm, hf or meta. The names after ``#`` are left to the reader of
            the file.
        sha256: Hash that the file must have, 64 hex digits; it takes precedence over
            the source's.

    Raises:
        UserError: There is no such file, or it cannot be had; the message states how
            to go on.
        CheckpointError: The file has another hash. A downloaded one was removed.
    """
    reference = CheckpointRef.parse(source, sha256)
    if reference.scheme in ('http', 'https'):
        return download(reference.location, reference.sha256)
    if reference.scheme == 'meta':
        return download(published.resolve(reference.address), reference.sha256)
    if reference.scheme == 'timm':
        return fetch(_find_in_timm(reference.address), reference.sha256)
    if reference.scheme == 'hf':
        path = hub.download(reference.address)
    else:
        path = _find_local(reference)
    if reference.sha256 is not None:
        _check(path, reference, reference.sha256)
    return path


def _check(path: Path, reference: CheckpointRef, sha256: str) -> None:
    """Raise CheckpointError if a file has another hash; remove it from the Hub's cache.

    What :func:`~.download.download` returns has been checked already.
    """
    with os_errors_told(f'reading checkpoint {reference.location}'):
        problem = hash_problem(path, sha256)
    if problem:
        gone = reference.is_remote and discard(path)
        advice = (
            f'. {path} was removed; the next run downloads it again' if gone else ''
        )
        raise CheckpointError(
            f'{reference.location} is not the file it should be: {problem}{advice}'
        )


def pick_file(source: Source) -> CheckpointRef:
    """Replace a local folder in a source by the checkpoint in it.

    A Hugging Face folder means its weights, a work dir its newest ``best_*.pth``, or
    else the file that ``last_checkpoint`` names. Anything else stays as it is.

    Raises:
        UserError: There is no such file or folder, or no checkpoint in it.
    """
    reference = CheckpointRef.parse(source)
    if reference.scheme is not None:
        return reference
    return reference.at(_find_local(reference))


def last_checkpoint(folder: str | Path) -> str | None:
    """Return the checkpoint that was saved last in a work dir, None if there is none.

    It is the one that mmengine's note names; where a killed run left no note, or the
    folder was moved, the newest.
    """
    with os_errors_told(f'looking for a checkpoint in {folder}'):
        note = Path(folder, 'last_checkpoint')
        path = note.read_text(encoding='utf-8').strip() if note.is_file() else None
        if path and Path(path).is_file():
            return path
        saved = [*Path(folder).glob('epoch_*.pth'), *Path(folder).glob('iter_*.pth')]
        return str(max(saved, key=lambda p: p.stat().st_mtime)) if saved else None


def _find_local(reference: CheckpointRef) -> Path:
    """Return the file at a path, or the one that a folder means."""
    location, path = reference.location, reference.path
    if path is None:
        raise UserError(
            f'checkpoint {location}: {reference.scheme}:// is unknown; give {FORMS}'
        )
    if not location:
        raise UserError(
            f'the checkpoint is an empty string (a shell variable that is not set?): '
            f'give {FORMS}'
        )
    with os_errors_told(f'looking for checkpoint {location}'):
        if path.is_file():
            return path
        if path.is_dir():
            return _find_in_folder(path)
        raise UserError(_missing(path, location))


def _find_in_folder(folder: Path) -> Path:
    """Return the weights of a Hugging Face folder, or a work dir's best or last."""
    known = [folder / name for name in hub.WEIGHTS if (folder / name).is_file()]
    best = sorted(folder.glob('best_*.pth'), key=lambda p: p.stat().st_mtime)
    if known or best:
        return known[0] if known else best[-1]
    last = last_checkpoint(folder)
    if last is None:
        raise UserError(
            f'folder {folder} holds no checkpoint: neither best_*.pth nor a '
            f'last_checkpoint, as a work dir has, nor {" or ".join(hub.WEIGHTS)}: give '
            f'a file'
        )
    return Path(last)


def _missing(path: Path, location: str) -> str:
    """Say that there is no such file, and what may have been meant."""
    if location.removesuffix('.pth').removesuffix('.pt') in published.FILES:
        return f'checkpoint {location} does not exist; did you mean meta://{location}?'
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    names = [p.name for p in siblings if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=3)
    hint = f' (did you mean {" or ".join(near)}?)' if near else ''
    return f'checkpoint {location} does not exist{hint}: give {FORMS}'


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
    if cfg is not None and cfg.url and isinstance(cfg.url, str):
        return cfg.url
    near = difflib.get_close_matches(name, list_pretrained('convnext*'), n=3)
    hint = f'did you mean {" or ".join(near)}?' if near else 'see timm.list_pretrained'
    raise UserError(f'timm://{name}: the installed timm has no such weights: {hint}')


def discard(path: Path) -> bool:
    """Remove a downloaded file, so that the next :func:`fetch` gets it anew.

    Returns:
        Whether ``path`` was in one of the caches. Other files are left alone, and so
        are those in our cache that stand in no folder of a host: nothing downloads
        to there.
    """
    path = path.parent.resolve() / path.name
    if cache_dir().resolve() in path.parent.parents:
        path.unlink(missing_ok=True)
        return True
    return hub.discard(path)


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
