"""Train a detector or segmentor from a config."""

import argparse
from collections.abc import Sequence

from convnext_backbone import checkpoints
from convnext_backbone.cli.arguments import (
    add_config_arguments,
    add_run_arguments,
    add_trust_argument,
    new_parser,
)
from convnext_backbone.config.loading import load_run_config
from convnext_backbone.tasks.train import train


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('train', __doc__)
    add_config_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue from a checkpoint or the latest in a work dir (default: the one '
        'of this run)',
    )
    parser.add_argument(
        '--init',
        metavar='SOURCE',
        help="checkpoint to start from, in place of the config's: a file, a work "
        'dir, a URL, or a name such as meta://convnext_tiny_1k_224, '
        'timm://convnext_tiny.fb_in22k or hf://facebook/convnext-tiny-224',
    )
    add_trust_argument(parser)
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision, where the config has none'
    )
    parser.add_argument('--seed', type=int, help='random seed (default: drawn, logged)')
    parser.add_argument(
        '--no-report',
        action='store_true',
        help='do not evaluate once more at the end and write WORK_DIR/report.html',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    cfg = load_run_config(
        args.config,
        ('train', 'val'),
        work_dir=args.work_dir,
        launcher=args.launcher,
        cfg_options=args.cfg_options,
        data_root=args.data_root,
    )
    init = None if args.init is None else checkpoints.pick_file(args.init)
    train(
        cfg,
        resume=args.resume,
        init=init,
        amp=args.amp,
        seed=args.seed,
        report=not args.no_report,
    )
    return 0
