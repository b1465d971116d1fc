"""Compares the class names by which two parts of a run number their labels.

A label is a position in a list of names. Two lists that hold the same name at two
positions therefore swap labels, and every number that comes of it is wrong.
"""

from collections.abc import Mapping, Sequence

from convnext_backbone.foundation.errors import UserError

SHOWN = 8  # names in a message


def compare_classes(
    first: Sequence[str], second: Sequence[str], parts: tuple[str, str], fix: str
) -> str | None:
    """Compare two lists of class names of the same length.

    Args:
        first: The names in label order.
        second: The names of the other part.
        parts: What has these names, for the message: 'the checkpoint', 'the test data'.
        fix: What to do about it.

    Returns:
        A warning where a label has two names, of which neither is in both lists; None
        where all are equal, or where the lengths differ and nothing can be compared.

    Raises:
        UserError: A name has another position in each.
    """
    if len(first) != len(second) or tuple(first) == tuple(second):
        return None
    place = {name: i for i, name in enumerate(second)}
    for i, name in enumerate(first):
        if name != second[i] and name in place:
            raise UserError(
                f'{parts[0]} has the classes {list_names(first)}, {parts[1]} has them '
                f'in another order, {list_names(second)}: {name!r} is number {i} in '
                f'one and number {place[name]} in the other, so that labels would be '
                f'swapped; {fix}'
            )
    i = next(i for i, name in enumerate(first) if name != second[i])
    return (
        f'{parts[0]} has the classes {list_names(first)}, {parts[1]} has '
        f'{list_names(second)}: number {i} is taken to be the same class under two '
        f'names, {first[i]!r} and {second[i]!r}'
    )


def class_names(meta: Mapping | None) -> tuple[str, ...] | None:
    """Return the class names in a data set's ``metainfo`` or a checkpoint's copy of it.

    None if it has none.
    """
    names = (meta or {}).get('classes')
    if isinstance(names, str):
        return (names,)
    return tuple(map(str, names)) if names else None


def list_names(names: Sequence[object]) -> str:
    """Write the first few of a list of names or numbers."""
    more = f', ... ({len(names)} in all)' if len(names) > SHOWN else ''
    return ', '.join(map(str, names[:SHOWN])) + more
