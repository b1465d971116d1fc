"""The differences between two configs, value by value."""

from collections.abc import Iterable, Iterator

from mmengine.config import Config


def differences(cfg: Config, other: Config) -> Iterator[str]:
    """Yield the lines of a diff from ``other`` to ``cfg``, ``- key = value`` first."""
    mine = dict(flatten(cfg.to_dict()))
    theirs = dict(flatten(other.to_dict()))
    for key in sorted({*mine, *theirs}):
        if mine.get(key, mine) != theirs.get(key, theirs):
            if key in theirs:
                yield f'- {key} = {theirs[key]!r}'
            if key in mine:
                yield f'+ {key} = {mine[key]!r}'


def flatten(node: object, name: str = '') -> Iterator[tuple[str, object]]:
    """Yield (dotted name, value) of every leaf; the items of lists are numbered."""
    items: Iterable[tuple[object, object]] = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list | tuple) and any(isinstance(v, dict) for v in node):
        items = enumerate(node)
    if not items:
        yield name, node
    for key, value in items:
        yield from flatten(value, f'{name}.{key}' if name else str(key))
