"""Show what a model sees of a data set: images beside their augmented samples."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli
from convnext_backbone.browsing import browse


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    cli.add_data_root_argument(parser)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    cfg = cli.load_config(args, splits=(args.split,))
    out = Path(args.out or f'browse_{Path(args.config).stem}_{args.split}.png')
    browse(cfg, args.split, out, count=args.count, seed=args.seed)
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
