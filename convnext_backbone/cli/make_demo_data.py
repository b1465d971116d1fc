"""Draw the demo data set for detection and segmentation.

convnext-backbone make-demo-data                     # data/demo
convnext-backbone make-demo-data /tmp/demo --train 1000 --preview sheet.png
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from convnext_backbone import demo_scenes
from convnext_backbone.cli.arguments import new_parser
from convnext_backbone.foundation.png import write_png


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('make-demo-data', __doc__)
    parser.add_argument(
        'out_dir',
        nargs='?',
        default='data/demo',
        metavar='OUT_DIR',
        help='folder to create (default: data/demo)',
    )
    parameters = inspect.signature(demo_scenes.make_demo_data).parameters
    for name, text in (
        ('train', 'training pictures'),
        ('val', 'validation pictures'),
        ('size', 'pixels a side'),
        ('seed', 'same seed, same bytes'),
    ):
        default = parameters[name].default
        parser.add_argument(
            f'--{name}', type=int, default=default, help=f'{text} (default: {default})'
        )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a demo data set made from other parameters',
    )
    parser.add_argument(
        '--preview',
        type=Path,
        metavar='FILE',
        help='also write a contact sheet (PNG) of the first training pictures',
    )
    return parser.parse_args(argv)


def show_progress(done: int, total: int) -> None:
    """Show how many pictures are written: in place, or every tenth of them."""
    if sys.stderr.isatty():
        end = '\n' if done == total else ''
        print(f'\r{done}/{total} pictures', end=end, file=sys.stderr, flush=True)
    elif done == total or done % max(1, total // 10) == 0:
        print(f'{done}/{total} pictures', file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    written = demo_scenes.make_demo_data(
        args.out_dir,
        train=args.train,
        val=args.val,
        size=args.size,
        seed=args.seed,
        overwrite=args.overwrite,
        progress=show_progress,
    )
    state = 'written to' if written else 'complete already in'
    print(f'Demo data {state} {args.out_dir}: {args.train} + {args.val} pictures')
    if args.preview is not None:
        scenes = [
            demo_scenes.demo_scene('train', number, size=args.size, seed=args.seed)
            for number in range(min(8, args.train))
        ]
        write_png(args.preview, demo_scenes.preview_sheet(scenes))
        print(f'Contact sheet written to {args.preview}')
    return 0
