"""Show the parameter groups of a config: learning rate, weight decay, parameters."""

import argparse
import sys
from collections.abc import Sequence

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli, lr_groups


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    cli.add_config_arguments(parser)
    parser.add_argument(
        '--plot',
        metavar='FILE',
        help='draw the learning rates from stem to heads over the schedule (.png)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    cfg = cli.load_config(args, splits=())
    groups = lr_groups.build_groups(cfg)
    print(lr_groups.table(groups))
    rates = [(group.name, group.lr) for group in groups]
    schedulers = lr_groups.scheduler_configs(cfg.get('param_scheduler'))
    for warning in lr_groups.low_eta_min(rates, schedulers):
        print(f'warning: {warning}', file=sys.stderr)
    if args.plot:
        lr_groups.plot(cfg, groups, args.plot)
        print(f'Learning rates over the schedule: {args.plot}')
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
