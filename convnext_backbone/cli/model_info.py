"""Tell what models cost: parameters, FLOPs, activations, memory of a training step.

FLOPs are multiply-adds of convolutions and matrix products, as the papers count:
norms, activation functions, resizing and RoIAlign are left out, a two-stage detector
has 1000 boxes and 100 masks in its heads, and an auxiliary head counts nothing. The
memory is an estimate: weights, gradients, optimizer and what autograd keeps.
"""

import argparse
import json
from collections.abc import Sequence

from convnext_backbone.cli.arguments import add_config_arguments, new_parser
from convnext_backbone.config.loading import load_config
from convnext_backbone.inspect_config.model_info import (
    PUBLISHED,
    describe,
    markdown_table,
    model_info,
)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('model-info', __doc__)
    add_config_arguments(parser, nargs='*')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='pixels (default: 800 1280 for detectors, crop x 4 crops for segmentors, '
        'as published; the memory of a segmentor at its crop)',
    )
    parser.add_argument(
        '--json', action='store_true', help='print a JSON list: plain numbers, bytes'
    )
    parser.add_argument(
        '--markdown',
        action='store_true',
        help='print the table of docs/model_zoo.md; takes no CONFIG',
    )
    args = parser.parse_intermixed_args(argv)
    if args.markdown == bool(args.configs):
        parser.error('give at least one CONFIG, or --markdown alone')
    return args


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    if args.markdown:
        rows = [
            model_info(load_config(name), name, training=False) for name in PUBLISHED
        ]
        print(markdown_table(rows), end='')
        return 0
    shape = tuple(args.shape) if args.shape else None
    infos = [
        model_info(load_config(config, cfg_options=args.cfg_options), config, shape)
        for config in args.configs
    ]
    if args.json:
        print(json.dumps([info.as_dict() for info in infos], indent=2))
    else:
        print('\n\n'.join(map(describe, infos)))
    return 0
