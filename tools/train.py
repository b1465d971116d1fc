"""Train a detector or segmentor from a config."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import checkpoints, cli
from convnext_backbone.training import train


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    cli.add_run_arguments(parser)
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
    cli.add_trust_argument(parser)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    cfg = cli.load_config(args, splits=('train', 'val'))
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


if __name__ == '__main__':
    sys.exit(cli.run(main))
