"""Finds the state dict inside what a checkpoint file holds."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.foundation.errors import UserError

# What training scripts call the weights, in the order of preference. Averaged
# weights are taken where there are no others, or when they are asked for.
ENTRIES = ('state_dict', 'model', 'model_state_dict', 'module', 'net', 'student')
EMA_ENTRIES = ('model_ema', 'state_dict_ema', 'ema_state_dict', 'ema', 'teacher')


def unwrap(
    content: Mapping, reference: CheckpointRef
) -> tuple[Mapping[str, Tensor], CheckpointRef]:
    """Find the state dict that a reference means, and tell entry and part apart.

    Args:
        content: What the file holds.
        reference: Its ``names`` say which entries to take, and which part.

    Returns:
        The state dict itself, not a copy, and the reference with ``entry`` and
        ``part`` filled in.

    Raises:
        UserError: There is no state dict, several without a usual name, or nothing
            of one of the names.
    """
    state, names = content, list(reference.names)
    entries: list[str] = []
    for holder, entry, asked in _walk(content, reference):
        state = holder[entry]
        if asked:
            names.remove(entry)
            entries.append(entry)
    strays = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if strays or not all(isinstance(key, str) for key in state):
        raise UserError(
            f'checkpoint {reference.location} holds no state dict under a usual name, '
            f'its entries are {_list(state)}: say which one to take, as in '
            f'{reference.with_names(*entries, "ENTRY")}'
        )
    known = [n for n in names if any(key.startswith(f'{n}.') for key in state)]
    if len(names) > 1 or names != known:
        raise UserError(
            f'checkpoint {reference.location} has nothing called '
            f'{" in ".join(names[::-1])!r}: its entries are {_list(content)}, the '
            f'names in it begin with {_list({key.split(".")[0] for key in state})}'
        )
    part = names[0] if names else None
    return state, replace(reference, entry='&'.join(entries) or None, part=part)


def describe_choice(content: Mapping, reference: CheckpointRef) -> list[str]:
    """Say which of several state dicts was taken without being named, if one was.

    Args:
        content: What the file holds.
        reference: What :func:`unwrap` was given.
    """
    usual = {*ENTRIES, *EMA_ENTRIES}
    meta = content.get('meta')
    if isinstance(meta, Mapping) and 'mmengine_version' in meta:
        usual.remove('ema_state_dict')  # it saves the average as state_dict
    said = []
    for state, entry, asked in _walk(content, reference):
        aside = [n for n in state if n in usual - {entry} and _has_weights(state[n])]
        if aside and not asked:
            others = ', '.join(aside)
            said.append(f'taken from {entry}, {others} left aside (choose by #NAME)')
    return said


def _has_weights(entry: object) -> bool:
    return isinstance(entry, Mapping) and any(
        isinstance(value, Tensor) for value in entry.values()
    )


def _walk(
    content: Mapping, reference: CheckpointRef
) -> Iterator[tuple[Mapping, str, bool]]:
    """Go from what a file holds to the state dict in it.

    Yields:
        A mapping, the entry of it to take, and whether the reference names that.
    """
    state, names = content, list(reference.names)
    entries: list[str] = []
    while True:
        entry = next((n for n in names if isinstance(state.get(n), Mapping)), None)
        asked = entry is not None
        if entry is not None:
            names.remove(entry)
            entries.append(entry)
        else:
            entry = _usual_entry(state, reference, entries)
        if entry is None:
            return
        yield state, entry, asked
        state = state[entry]


def _usual_entry(
    state: Mapping, reference: CheckpointRef, entries: list[str]
) -> str | None:
    """Return the entry that is taken unasked, None if this is the state dict."""
    usual = [name for name in ENTRIES if isinstance(state.get(name), Mapping)]
    averaged = [name for name in EMA_ENTRIES if isinstance(state.get(name), Mapping)]
    if not usual and len(averaged) > 1:
        raise UserError(
            f'checkpoint {reference.location} holds {", ".join(averaged)}: say which '
            f'one to take, as in {reference.with_names(*entries, averaged[0])}'
        )
    return next(iter(usual + averaged), None)


def _list(names: Collection[object], limit: int = 8) -> str:
    """Write the first few names, or that there are none."""
    shown = ', '.join(str(name) for name in list(names)[:limit])
    return f'{shown}, ...' if len(names) > limit else shown or 'none'
