"""Files of Hugging Face's Hub, from its own cache or downloaded into it."""

import os
import re
from functools import cache
from pathlib import Path

from huggingface_hub import (
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from mmengine.logging import MMLogger

from convnext_backbone.foundation.errors import UserError

WEIGHTS = ('model.safetensors', 'pytorch_model.bin')  # of a Hugging Face repository
# Seconds, for each of the Hub's addresses that does not answer.
TIMEOUT = float(os.environ.get('HF_HUB_ETAG_TIMEOUT', 5))


def download(address: str) -> Path:
    """Return a file of ``ORG/NAME[@REVISION][/FILE]``, from the Hub or its cache.

    Without ``/FILE`` it is the first of :data:`WEIGHTS` that the repository has.

    Raises:
        UserError: The file cannot be had; the message states how to go on.
    """
    found = re.fullmatch(r'([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?', address)
    if not found or {'.', '..'} & set(address.split('/')):
        raise UserError(
            f'hf://{address}: expected hf://ORG/NAME[@REVISION][/FILE], a revision '
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
                get_hf_file_metadata(url, timeout=TIMEOUT)
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
        raise UserError(f'hf://{address} {problem}') from error
    except ValueError as error:  # a name that no repository or file can have
        raise UserError(f'hf://{address}: {error}') from error
    except OSError as error:
        raise UserError(
            f'hf://{address} cannot be kept in {constants.HF_HUB_CACHE}: {error}'
        ) from error
    raise UserError(
        f'hf://{address}: the repository has no {" and no ".join(names)}; see '
        f'{constants.ENDPOINT}/{repo}/tree/{revision or "main"} and give '
        f'hf://{repo}/FILE'
    )


def fetch_beside(address: str, path: Path, names: tuple[str, ...]) -> None:
    """Get files of a downloaded file's folder and commit into the cache, if it can be.

    What cannot be had, without network or because there is none, is left out.

    Args:
        address: What was given to :func:`download`.
        path: What that returned.
        names: Small files that may stand beside it.
    """
    repo = address.partition('@')[0].split('/')
    cache = Path(constants.HF_HUB_CACHE)
    if cache not in path.parents:
        return
    _, _, commit, *folder, _ = path.relative_to(cache).parts  # models--*/snapshots/
    for name in names:
        file = '/'.join([*folder, name])
        _fetch_if_possible('/'.join(repo[:2]), file, commit)


@cache
def _fetch_if_possible(repo: str, file: str, commit: str) -> None:
    """Get a file into the cache; in a process, what failed is not tried again."""
    if try_to_load_from_cache(repo, file, revision=commit) is not None:
        return  # there it is, or the cache knows that the repository has none
    try:
        url = hf_hub_url(repo, file, revision=commit)
        get_hf_file_metadata(url, timeout=TIMEOUT)
        hf_hub_download(repo, file, revision=commit)
    except errors.RemoteEntryNotFoundError:
        return
    except (
        errors.HTTPError,
        errors.LocalEntryNotFoundError,
        RuntimeError,
        ValueError,
        OSError,  # of the connection, or of the disk
    ) as error:
        reason = str(error).strip().partition('\n')[0]
        MMLogger.get_current_instance().warning(
            f'hf://{repo}/{file} cannot be had ({reason}): what it states of the '
            f'weights is not known'
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
    """Remove a file from the Hub's cache: the link to the blob, and the blob.

    Args:
        path: Absolute, its folder without links.

    Returns:
        Whether ``path`` was in that cache.
    """
    cache = Path(constants.HF_HUB_CACHE).resolve()
    if cache not in path.parents:
        return False
    while path.is_symlink() and cache in path.parents:
        link, path = path, Path(os.path.normpath(path.parent / path.readlink()))
        link.unlink()
    if cache in path.parents:
        path.unlink(missing_ok=True)
    return True
