"""Predict on images: pictures with boxes and masks, or labels, and JSON."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import checkpoints, cli
from convnext_backbone.inference import infer


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    cli.add_checkpoint_argument(parser)
    parser.add_argument('inputs', nargs='+', metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out-dir', required=True, metavar='D', help='output folder')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a box in the pictures; the JSON holds all',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='fold what can be folded into the weights of the backbone; predictions '
        'stay the same but for rounding',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; the status is 1 when an image could not be read."""
    args = parse_args(argv)
    checkpoint = checkpoints.pick_file(args.checkpoint)
    cfg = cli.load_config(args, splits=())
    failed = infer(
        cfg, checkpoint, args.inputs, args.out_dir, args.score_thr, args.fast
    )
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
