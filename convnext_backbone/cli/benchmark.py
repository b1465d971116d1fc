"""Compare our backbone with others in time and memory, at equal outputs.

A name of an arch is a size (atto, femto, pico, nano, tiny, small, base, large, xlarge,
huge) for V1, with _v2 for V2. Of the peers, meta and mmpretrain are the formulas of
those projects, written anew in the order of their operations; the others are the
installed libraries. All get our weights and the same images, contiguous (N, 3, H, W),
and drop the same samples; outputs and gradients are compared with ours before anything
is timed. They compute in fp32, but for what is named int8, in turn, in one process;
memory is that of a process for each. --what infer also runs ours in OpenVINO and ONNX
Runtime, on a CPU where they are installed and for sides in multiples of 32.
"""

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence

import torch

from convnext_backbone.backbone.block import KEPT
from convnext_backbone.benchmark.chart import check_chart, draw_chart
from convnext_backbone.benchmark.comparison import compare
from convnext_backbone.benchmark.machine import describe_machine
from convnext_backbone.benchmark.options import Options
from convnext_backbone.benchmark.results import Absent, Row, as_json, table
from convnext_backbone.cli import PROGRAM
from convnext_backbone.cli.arguments import new_parser
from convnext_backbone.foundation.json_files import write_json

LEVELS = {str(level).lower(): level for level in KEPT}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('benchmark', __doc__)
    parser.add_argument(
        '--what',
        choices=('backbone', 'step', 'infer'),
        default='backbone',
        help='forward and backward of the backbone (default), a training step of Mask '
        'R-CNN, or inference with all that speeds it up',
    )
    parser.add_argument('--archs', nargs='+', default=['tiny'], metavar='ARCH')
    parser.add_argument(
        '--against',
        nargs='+',
        default=['meta,timm,mmpretrain'],
        metavar='PEER',
        help='out of meta, timm, torchvision, hf, mmpretrain, separated by commas '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--shape',
        nargs='+',
        type=int,
        action=_Shape,
        default=(512, 512),
        metavar='PIXELS',
        help='height and width, or one number for both (default: 512)',
    )
    parser.add_argument(
        '--batch', type=int, metavar='N', help='images (default: 2, 1 for infer)'
    )
    parser.add_argument(
        '--threads', type=int, metavar='T', help='of torch (default: all cores)'
    )
    parser.add_argument(
        '--rounds', type=int, default=20, metavar='R', help='default: %(default)s'
    )
    parser.add_argument(
        '--drop-path',
        nargs='+',
        type=float,
        metavar='P',
        help="rates in training (default: that of the arch's detector)",
    )
    parser.add_argument(
        '--with-cp',
        nargs='+',
        type=str.lower,
        choices=LEVELS,
        default=['false', 'selective'],
        metavar='LEVEL',
        help='levels of checkpointing of ours, out of false, selective, hidden, '
        'true (default: false selective); at true the peers recompute their blocks too',
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='default: %(default)s',
    )
    parser.add_argument(
        '--data-root',
        metavar='D',
        help="for step: images in COCO's layout (default: coco_mini in "
        '$CONVNEXT_TEST_DATA)',
    )
    parser.add_argument(
        '--json', metavar='F', help='write the rows, also after each arch'
    )
    parser.add_argument(
        '--out',
        default='work_dirs/benchmark.png',
        metavar='F',
        help='bar chart (default: %(default)s)',
    )
    return parser.parse_args(argv)


class _Shape(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        if len(values) > 2:
            given = ' '.join(map(str, values))
            parser.error(f'--shape {given}: expected height and width, or one number')
        namespace.shape = values[0], values[-1]


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    options = Options(
        what=args.what,
        archs=_names(args.archs),
        peers=_names(args.against),
        shape=args.shape,
        batch=(1 if args.what == 'infer' else 2) if args.batch is None else args.batch,
        rounds=args.rounds,
        threads=args.threads,
        drop_paths=args.drop_path,
        with_cp=[LEVELS[level] for level in args.with_cp],
        device=args.device,
        data_root=args.data_root,
    )
    options.check()
    check_chart(args.out)
    if args.threads:
        torch.set_num_threads(args.threads)
    command = shlex.join([PROGRAM, 'benchmark', *argv])
    where = describe_machine(args.device)
    rows: list[Row] = []
    absent: list[Absent] = []
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what libraries print
            for more_rows, more_absent in compare(options):
                rows += more_rows
                absent += more_absent
                if args.json:
                    write_json(args.json, as_json(rows))
                if rows:
                    draw_chart(rows, args.out, command, where)
    finally:  # a later arch may fail
        if rows or absent:
            print(table(rows, absent))
            print(f'{where}; ± is the interquartile range by the median')
        if rows:
            print(f'Chart: {args.out}')
    return 0


def _names(values: Sequence[str]) -> list[str]:
    """Split names at commas too; each once."""
    return list(dict.fromkeys(n for value in values for n in value.split(',') if n))
