"""Makes the embedded demo data set for detection and segmentation.

Usage::

    python tools/make_demo_data.py                       # data/demo
    python tools/make_demo_data.py /tmp/demo --train 1000 --preview sheet.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli, data
from convnext_backbone.data import writers


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'out_dir',
        nargs='?',
        default='data/demo',
        metavar='OUT_DIR',
        help='folder to create',
    )
    defaults = data.make_demo_data.__kwdefaults__
    for name, text in (
        ('train', 'training pictures'),
        ('val', 'validation pictures'),
        ('size', 'pixels a side'),
        ('seed', 'same seed, same bytes'),
    ):
        parser.add_argument(f'--{name}', type=int, default=defaults[name], help=text)
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
    """Shows how many pictures are written: in place, or every tenth of them."""
    if sys.stderr.isatty():
        end = '\n' if done == total else ''
        print(f'\r{done}/{total} pictures', end=end, file=sys.stderr, flush=True)
    elif done == total or done % max(1, total // 10) == 0:
        print(f'{done}/{total} pictures', file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the tool and returns its exit status."""
    args = parse_args(argv)
    written = data.make_demo_data(
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
            data.demo_scene('train', number, size=args.size, seed=args.seed)
            for number in range(min(8, args.train))
        ]
        args.preview.parent.mkdir(parents=True, exist_ok=True)
        writers.write_png(args.preview, data.contact_sheet(scenes))
        print(f'Contact sheet written to {args.preview}')
    return 0


if __name__ == '__main__':
    raise SystemExit(cli.run(main))
