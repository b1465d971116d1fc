"""Export a model to ONNX or OpenVINO, in fp32 or int8, checked against PyTorch.

A segmentor is exported as a whole, of a detector the backbone and the neck. The input
is the raw image as OpenCV reads it; the exported model normalises it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from convnext_backbone import checkpoints
from convnext_backbone.cli.arguments import (
    add_checkpoint_argument,
    add_config_arguments,
    add_data_root_argument,
    new_parser,
    positive,
)
from convnext_backbone.config.loading import load_config
from convnext_backbone.export import CALIBRATION_IMAGES, ExportOptions, export
from convnext_backbone.export.backends import SUFFIXES, require
from convnext_backbone.export.output_files import default_path
from convnext_backbone.export.summary import summarise
from convnext_backbone.foundation.errors import UserError


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('export', __doc__)
    add_config_arguments(parser)
    add_checkpoint_argument(parser)
    parser.add_argument('--format', required=True, choices=SUFFIXES)
    parser.add_argument(
        '--int8',
        action='store_true',
        help='quantise with images of the training data, and report AP or mIoU before '
        'and after',
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--dynamic',
        action='store_true',
        help='take any batch size, height and width',
    )
    sizes.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help="height and width of the input (default: the config's test scale or crop "
        'size)',
    )
    parser.add_argument(
        '--out',
        metavar='F',
        help='file to write (default: CONFIG_NAME.onnx or .xml beside the checkpoint)',
    )
    add_data_root_argument(parser)
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='IMAGE_OR_FOLDER',
        help='check and time on these images (default: on the test data)',
    )
    parser.add_argument(
        '--calibration-images',
        type=positive,
        metavar='N',
        help=f'number of images to quantise with, for --int8 (default: '
        f'{CALIBRATION_IMAGES})',
    )
    parser.add_argument(
        '--eval-images',
        type=positive,
        metavar='N',
        help='evaluate --int8 on the first N images (default: all)',
    )
    args = parser.parse_args(argv)
    for name in ('calibration_images', 'eval_images'):
        if getattr(args, name) and not args.int8:
            parser.error(f'--{name.replace("_", "-")} needs --int8')
    return args


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    require(args.format)
    checkpoint = checkpoints.pick_file(args.checkpoint)
    splits = ('train', 'test') if args.int8 else () if args.images else ('test',)
    try:
        cfg = load_config(
            args.config,
            splits,
            cfg_options=args.cfg_options,
            data_root=args.data_root,
        )
    except UserError as error:
        if splits == ('test',):
            raise UserError(f'{error}; or give images with --images') from error
        raise
    work_dir = cfg.get('work_dir') or Path('work_dirs', Path(args.config).stem)
    options = ExportOptions(
        kind=args.format,
        out=Path(
            args.out
            or default_path(cfg.filename, checkpoint, work_dir, args.format, args.int8)
        ),
        int8=args.int8,
        dynamic=args.dynamic,
        shape=tuple(args.shape) if args.shape else None,
        images=args.images,
        calibration_images=args.calibration_images or CALIBRATION_IMAGES,
        eval_images=args.eval_images,
    )
    print(summarise(options.out, export(cfg, checkpoint, options)))
    return 0
