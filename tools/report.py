"""Write a training's report: WORK_DIR/report.html, which opens without a network."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli
from convnext_backbone.report import write_report


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', metavar='WORK_DIR', help='of a training')
    parser.add_argument(
        '--checkpoint',
        metavar='CHECKPOINT',
        help='the model to evaluate (default: the best in WORK_DIR, or else the last)',
    )
    cli.add_trust_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    path = write_report(args.work_dir, args.checkpoint)
    print(f'Report written to {path}')
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
