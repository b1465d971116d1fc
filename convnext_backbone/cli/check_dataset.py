"""Tell what is in a data set, and what is wrong with it.

Exit status 1 when it has errors.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from convnext_backbone.cli.arguments import add_mask_arguments, new_parser
from convnext_backbone.datasets import FORMATS, find_source
from convnext_backbone.datasets.checks import class_names, find_faults
from convnext_backbone.datasets.formats.mask_options import MaskOptions
from convnext_backbone.datasets.overview import draw_dataset
from convnext_backbone.datasets.scan import scan
from convnext_backbone.datasets.statistics import render, statistics
from convnext_backbone.foundation.files import check_writable
from convnext_backbone.tasks.finetune.run import parse_classes


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('check-dataset', __doc__)
    parser.add_argument('path', metavar='PATH', help='its folder, or a COCO json')
    parser.add_argument('--format', choices=FORMATS, help='default: recognised')
    parser.add_argument(
        '--task', choices=('det', 'seg'), help='for data that serves both'
    )
    add_mask_arguments(parser)
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='the classes, in the order, that a training is to have',
    )
    parser.add_argument(
        '--picture',
        metavar='FILE',
        help='PNG of class balance and samples (default: work_dirs/check_DATA.png)',
    )
    parser.add_argument(
        '--json', action='store_true', help='print numbers and all faults as JSON'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    masks = MaskOptions(args.ignore_label, args.images, args.masks)
    source = find_source(args.path, format=args.format, task=args.task, masks=masks)
    picture = Path(args.picture or f'work_dirs/check_{source.root.stem}.png')
    check_writable(picture)
    records = scan(source)
    faults = find_faults(source, records, parse_classes(args.classes))
    numbers = statistics(source, records)
    if args.json:
        content = {
            **numbers,
            'picture': str(picture),
            'faults': [asdict(fault) for fault in faults],
        }
        print(json.dumps(content, indent=1))
    else:
        print(render(numbers, faults))
    draw_dataset(records, source, class_names(source, records), picture)
    if not args.json:
        print(f'Picture written to {picture}')
    return int(any(fault.level == 'error' for fault in faults))
