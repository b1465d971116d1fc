"""Fine-tune a detector or segmentor on a folder of your own images.

Checks the data, converts it into a cache (the originals stay as they are), writes
WORK_DIR/config.py and trains. The same command goes on where it was interrupted.
"""

import argparse
from collections.abc import Sequence

from convnext_backbone.cli.arguments import (
    add_launcher_arguments,
    add_mask_arguments,
    add_trust_argument,
    new_parser,
    positive,
)
from convnext_backbone.datasets import FORMATS
from convnext_backbone.tasks.finetune import run as running


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('finetune', __doc__)
    parser.add_argument('path', metavar='PATH', help='folder of the data set')
    parser.add_argument(
        '--base',
        required=True,
        metavar='CONFIG',
        help='what to fine-tune, such as det/cascade_convnext_t_coco',
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--init',
        metavar='SOURCE',
        help='weights to start from: a file, a work dir, a URL or a name (default: '
        'those published for the base)',
    )
    start.add_argument(
        '--from-scratch', action='store_true', help='start from random weights'
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--epochs', type=positive, help='length of the training')
    length.add_argument('--iters', type=positive, help='its length in iterations')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='classes to train, in this order (default: all)',
    )
    parser.add_argument(
        '--format', choices=FORMATS, help='of the data (default: recognised)'
    )
    add_mask_arguments(parser)
    parser.add_argument(
        '--work-dir', metavar='D', help='output folder (default: work_dirs/DATA_BASE)'
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='check the data and print the config; convert and train nothing',
    )
    add_launcher_arguments(parser)
    add_trust_argument(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    options = running.Options(
        path=args.path,
        base=args.base,
        init=args.init,
        from_scratch=args.from_scratch,
        epochs=args.epochs,
        iters=args.iters,
        classes=running.parse_classes(args.classes),
        format=args.format,
        ignore_label=args.ignore_label,
        images=args.images,
        masks=args.masks,
    )
    if args.dry_run:
        print(running.preview(options, args.work_dir))
    else:
        running.finetune(options, args.work_dir, args.launcher)
    return 0
