"""Print a config with all that it inherits, or how it differs from another."""

import argparse
import sys
from collections.abc import Iterator, Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    parser.add_argument(
        '--diff', metavar='OTHER', help='print only what CONFIG has other than OTHER'
    )
    return parser.parse_args(argv)


def flatten(node: object, name: str = '') -> Iterator[tuple[str, object]]:
    """Yield (dotted name, value) of every leaf of a config; lists are by index."""
    items = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list | tuple) and any(isinstance(v, dict) for v in node):
        items = enumerate(node)
    if not items:
        yield name, node
    for key, value in items:
        yield from flatten(value, f'{name}.{key}' if name else str(key))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    cfg = cli.load_config(args, splits=())
    if not args.diff:
        print(cfg.pretty_text)
        return 0
    mine = dict(flatten(cfg.to_dict()))
    other = dict(flatten(cli.read_config(args.diff).to_dict()))
    for key in sorted({*mine, *other}):
        if mine.get(key, mine) != other.get(key, other):
            if key in other:
                print(f'- {key} = {other[key]!r}')
            if key in mine:
                print(f'+ {key} = {mine[key]!r}')
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
