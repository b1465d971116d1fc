"""Show what a model sees of a data set: images beside their augmented samples."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from convnext_backbone.cli.arguments import (
    add_config_arguments,
    add_data_root_argument,
    new_parser,
)
from convnext_backbone.config.loading import load_config
from convnext_backbone.tasks.browse import browse


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('browse-dataset', __doc__)
    add_config_arguments(parser)
    add_data_root_argument(parser)
    parser.add_argument(
        '--split',
        choices=('train', 'val'),
        default='train',
        help='whose data set and pipeline to show (default: train)',
    )
    parser.add_argument(
        '--count',
        type=int,
        default=16,
        metavar='N',
        help='images to show, spread over the data set (default: 16)',
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='PNG to write (default: browse_CONFIGNAME_SPLIT.png)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the augmentation (default: 0)'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    cfg = load_config(
        args.config,
        splits=(args.split,),
        cfg_options=args.cfg_options,
        data_root=args.data_root,
    )
    out = Path(args.out or f'browse_{Path(args.config).stem}_{args.split}.png')
    browse(cfg, args.split, out, count=args.count, seed=args.seed)
    return 0
