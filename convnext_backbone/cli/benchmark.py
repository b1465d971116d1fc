"""Compare time and memory of our backbone with others that compute the same.

ARCH is a size (atto, femto, pico, nano, tiny, small, base, large, xlarge, huge) for V1,
and the size with _v2 for V2. Of the peers, meta and mmpretrain are those projects'
backbones, rewritten with their operations in their order; the others are the installed
libraries. All get our weights and the same images, contiguous (N, 3, H, W), and drop
the same samples. Outputs and gradients are compared with ours before anything is timed.
All compute in fp32, except for what is named int8, and are timed in turn in one
process; memory is measured in a separate process for each. --what infer also runs ours
in OpenVINO and ONNX Runtime, on a CPU, if they are installed and height and width are
multiples of 32.
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
    _add_contestants(parser)
    _add_workload(parser)
    parser.add_argument(
        '--json',
        metavar='F',
        help='write the measurements, after each architecture anew',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/benchmark.png',
        metavar='F',
        help='bar chart to write (default: %(default)s)',
    )
    return parser.parse_args(argv)


def _add_contestants(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is compared with what."""
    parser.add_argument(
        '--what',
        choices=('backbone', 'step', 'infer'),
        default='backbone',
        help='forward and backward pass of the backbone (default), a training step of '
        'Mask R-CNN, or inference, ours in all its variants',
    )
    parser.add_argument('--archs', nargs='+', default=['tiny'], metavar='ARCH')
    parser.add_argument(
        '--against',
        nargs='+',
        default=['meta,timm,mmpretrain'],
        metavar='PEER',
        help='peers from meta, timm, torchvision, hf, mmpretrain, separated by commas '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--drop-path',
        nargs='+',
        type=float,
        metavar='P',
        help="drop path rates in training (default: that of the architecture's "
        'detector)',
    )
    parser.add_argument(
        '--with-cp',
        nargs='+',
        type=str.lower,
        choices=LEVELS,
        default=['false', 'selective'],
        metavar='LEVEL',
        help='levels of checkpointing of ours, from false, selective, hidden, true '
        '(default: false selective); at true the peers recompute their blocks too',
    )


def _add_workload(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say on which images, where and how often."""
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
        '--batch',
        type=int,
        metavar='N',
        help='number of images (default: 2, 1 for infer)',
    )
    parser.add_argument(
        '--threads',
        type=int,
        metavar='T',
        help="number of PyTorch's threads (default: all cores)",
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        metavar='R',
        help='how often each is timed (default: %(default)s)',
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='default: %(default)s',
    )
    parser.add_argument(
        '--data-root',
        metavar='D',
        help="for --what step: a data set in COCO's layout (default: coco_mini in "
        '$CONVNEXT_TEST_DATA)',
    )


class _Shape(argparse.Action):
    """Stores height and width, given as two numbers or as one."""

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
        with contextlib.redirect_stdout(sys.stderr):  # for what the libraries print
            for more_rows, more_absent in compare(options):
                rows += more_rows
                absent += more_absent
                if args.json:
                    write_json(args.json, as_json(rows))
                if rows:
                    draw_chart(rows, args.out, command, where)
    finally:  # what was measured is printed even if a later architecture fails
        if rows or absent:
            print(table(rows, absent))
            print(f'{where}; ± is the interquartile range by the median')
    if rows:
        print(f'Chart: {args.out}')
    return 0


def _names(values: Sequence[str]) -> list[str]:
    """Split words at commas, and drop names that are repeated."""
    return list(dict.fromkeys(n for value in values for n in value.split(',') if n))
