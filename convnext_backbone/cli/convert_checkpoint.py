"""Convert a ConvNeXt checkpoint to the names and shapes of another library."""

import argparse
from collections.abc import Sequence

from convnext_backbone import checkpoints
from convnext_backbone.checkpoints.converting import TARGETS, convert
from convnext_backbone.cli.arguments import add_trust_argument, new_parser


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('convert-checkpoint', __doc__)
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
    add_trust_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    source = checkpoints.pick_file(args.source)
    written, left_out = convert(source, args.target, args.to, force=args.force)
    print(f'{args.target}: {written} weights under the names of {args.to}')
    if left_out:
        names = ', '.join(left_out[:8]) + (' ...' if len(left_out) > 8 else '')
        print(f'{len(left_out)} have no place there and were left out: {names}')
    return 0
