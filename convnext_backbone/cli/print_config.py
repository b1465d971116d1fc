"""Print a config with all that it inherits, or its differences from another."""

import argparse
from collections.abc import Sequence

from convnext_backbone.cli.arguments import add_config_arguments, new_parser
from convnext_backbone.config.loading import load_config, read_config
from convnext_backbone.inspect_config.differences import differences


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('print-config', __doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--diff', metavar='OTHER', help='print only what differs from the config OTHER'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    if not args.diff:
        print(cfg.pretty_text)
        return 0
    for line in differences(cfg, read_config(args.diff)):
        print(line)
    return 0
