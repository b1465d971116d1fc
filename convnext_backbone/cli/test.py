"""Evaluate a checkpoint: COCO box and mask AP, or mIoU."""

import argparse
from collections.abc import Sequence

from convnext_backbone import checkpoints
from convnext_backbone.cli.arguments import (
    add_checkpoint_argument,
    add_config_arguments,
    add_run_arguments,
    new_parser,
)
from convnext_backbone.config.loading import load_run_config
from convnext_backbone.tasks.evaluate import test


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('test', __doc__)
    add_config_arguments(parser)
    add_run_arguments(parser)
    add_checkpoint_argument(parser)
    parser.add_argument(
        '--out',
        metavar='PATH',
        help='write the predictions: a .json file as the command infer does, a .pkl '
        "file as mmdet's analysis tools read, or for a segmentor a folder of label "
        "maps as mmseg's read",
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
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    checkpoint = checkpoints.pick_file(args.checkpoint)
    cfg = load_run_config(
        args.config,
        ('test',),
        work_dir=args.work_dir,
        launcher=args.launcher,
        cfg_options=args.cfg_options,
        data_root=args.data_root,
    )
    test(
        cfg,
        checkpoint,
        out=args.out,
        show_dir=args.show_dir,
        tta=args.tta,
    )
    return 0
