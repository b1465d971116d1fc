"""Show the parameter groups of a config: learning rate, weight decay, parameters."""

import argparse
import sys
from collections.abc import Sequence

from convnext_backbone.backbone.group_table import group_table
from convnext_backbone.cli.arguments import add_config_arguments, new_parser
from convnext_backbone.config.loading import load_config
from convnext_backbone.inspect_config.lr_curves import plot
from convnext_backbone.inspect_config.lr_groups import build_groups
from convnext_backbone.openmmlab.schedules import (
    long_warm_ups,
    low_eta_min,
    scheduler_configs,
)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = new_parser('show-lr-groups', __doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--plot',
        metavar='FILE',
        help='draw the learning rates from the stem to the heads over the schedule '
        '(.png, .pdf, .svg or .jpg)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    args = parse_args(argv)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    groups = build_groups(cfg)
    print(group_table(groups))
    rates = [(group.name, group.lr) for group in groups if group.lr is not None]
    schedulers = scheduler_configs(cfg.get('param_scheduler'))
    train_cfg = cfg.get('train_cfg') or {}
    length = {key: train_cfg.get(key) for key in ('max_iters', 'max_epochs')}
    for warning in low_eta_min(rates, schedulers) + long_warm_ups(schedulers, **length):
        print(f'warning: {warning}', file=sys.stderr)
    if args.plot:
        plot(cfg, groups, args.plot)
        print(f'Learning rates over the schedule: {args.plot}')
    return 0
