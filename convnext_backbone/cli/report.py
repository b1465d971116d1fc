"""Write the report of a training, WORK_DIR/report.html, a page that works offline."""

import argparse
from collections.abc import Sequence

from convnext_backbone.cli.arguments import add_trust_argument, new_parser
from convnext_backbone.tasks.report import write_report


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('report', __doc__)
    parser.add_argument(
        'work_dir', metavar='WORK_DIR', help='output folder of a training'
    )
    parser.add_argument(
        '--checkpoint',
        metavar='CHECKPOINT',
        help='the model to evaluate (default: the best in WORK_DIR, or else the last)',
    )
    add_trust_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    path = write_report(args.work_dir, args.checkpoint)
    print(f'Report written to {path}')
    return 0
