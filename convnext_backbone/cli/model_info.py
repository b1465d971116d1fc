"""Count parameters, FLOPs and activations of models, and estimate training memory.

FLOPs are multiply-adds of convolutions and matrix products, as the papers count. Norms,
activation functions, resizing and RoIAlign are not counted, a two-stage detector has
1000 boxes and 100 masks in its heads, and an auxiliary head, which only training uses,
has no FLOPs. The memory of a training step is an estimate: weights, gradients,
optimizer states and the activations that autograd keeps.
"""

import argparse
import json
from collections.abc import Sequence

from convnext_backbone.cli.arguments import add_config_arguments, new_parser
from convnext_backbone.config.loading import load_config
from convnext_backbone.inspect_config.model_info import describe, model_info
from convnext_backbone.inspect_config.published_costs import PUBLISHED, markdown_table


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('model-info', __doc__)
    add_config_arguments(parser, nargs='*')
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='height and width in pixels (default: as published, 800 1280 for '
        "detectors and the crop's height x 4 times that for segmentors, whose memory "
        'is estimated at the crop)',
    )
    parser.add_argument(
        '--json',
        action='store_true',
        help='print a JSON list, with plain numbers and bytes',
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
