"""Convert a ConvNeXt checkpoint to the names and shapes of another library."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import checkpoints, cli
from convnext_backbone.checkpoints.converting import TARGETS, convert


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source',
        metavar='SRC',
        help='a file, a work dir, a URL, or a timm://, hf:// or meta:// name',
    )
    parser.add_argument(
        'target', metavar='DST', help='file to write, .safetensors or .pth'
    )
    parser.add_argument('--to', choices=TARGETS, required=True, help='whose names')
    parser.add_argument('--force', action='store_true', help='replace DST if it exists')
    cli.add_trust_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    source = checkpoints.pick_file(args.source)
    written, left_out = convert(source, args.target, args.to, force=args.force)
    print(f'{args.target}: {written} weights under the names of {args.to}')
    if left_out:
        names = ', '.join(left_out[:8]) + (' ...' if len(left_out) > 8 else '')
        print(f'{len(left_out)} have no place there and were left out: {names}')
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
