"""Predict on images: pictures with boxes and masks, or labels, and JSON."""

import argparse
from collections.abc import Sequence

from convnext_backbone import checkpoints
from convnext_backbone.cli.arguments import (
    add_checkpoint_argument,
    add_config_arguments,
    new_parser,
)
from convnext_backbone.config.loading import load_config
from convnext_backbone.tasks.infer import infer


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('infer', __doc__)
    add_config_arguments(parser)
    add_checkpoint_argument(parser)
    parser.add_argument('inputs', nargs='+', metavar='IMAGE_OR_FOLDER')
    parser.add_argument('--out-dir', required=True, metavar='D', help='output folder')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='least score of a box in the pictures; the JSON holds all',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command; the status is 1 when an image could not be read."""
    args = parse_args(argv)
    checkpoint = checkpoints.pick_file(args.checkpoint)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    failed = infer(cfg, checkpoint, args.inputs, args.out_dir, args.score_thr)
    return 1 if failed else 0
