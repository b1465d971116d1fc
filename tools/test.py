"""Evaluate a checkpoint: COCO box and mask AP, or mIoU."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import checkpoints, cli
from convnext_backbone.testing import test


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    cli.add_run_arguments(parser)
    cli.add_checkpoint_argument(parser)
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='write the predictions, as .json (as tools/infer.py does) or .pkl (as '
        'the analysis tools of mmdet and mmseg read)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: several scales, each with its mirror image',
    )
    parser.add_argument(
        '--show-dir',
        metavar='D',
        help='draw ground truth beside prediction, with a contact sheet',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='fold what can be folded into the weights of the backbone; predictions '
        'stay the same but for rounding',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    checkpoint = checkpoints.pick_file(args.checkpoint)
    cfg = cli.load_config(args, splits=('test',))
    test(
        cfg,
        checkpoint,
        out=args.out,
        show_dir=args.show_dir,
        tta=args.tta,
        fast=args.fast,
    )
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
