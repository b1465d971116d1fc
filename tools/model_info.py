"""Tell what models cost: parameters, FLOPs, activations, memory of a training step.

FLOPs are multiply-adds of convolutions and matrix products, as the papers count:
norms, activation functions, resizing and RoIAlign are left out, a two-stage detector
has 1000 boxes and 100 masks in its heads, and an auxiliary head counts nothing. The
memory is an estimate: weights, gradients, optimizer and what autograd keeps.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from mmengine.config import Config

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone import cli
from convnext_backbone.model_info import (
    PUBLISHED,
    ModelInfo,
    model_info,
    readme_table,
)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_config_arguments(parser, nargs='*')
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
        '--readme', action='store_true', help="print the README's table, and no CONFIG"
    )
    args = parser.parse_intermixed_args(argv)
    if args.readme == bool(args.configs):
        parser.error('give at least one CONFIG, or --readme alone')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return its exit status."""
    args = parse_args(argv)
    if args.readme:
        rows = [model_info(_load(name), name, training=False) for name in PUBLISHED]
        print(readme_table(rows), end='')
        return 0
    shape = tuple(args.shape) if args.shape else None
    infos = [
        model_info(_load(config, args.cfg_options), config, shape)
        for config in args.configs
    ]
    if args.json:
        print(json.dumps([info.as_dict() for info in infos], indent=2))
    else:
        print('\n\n'.join(map(describe, infos)))
    return 0


def _load(config: str, cfg_options: dict | None = None) -> Config:
    args = argparse.Namespace(config=config, cfg_options=cfg_options)
    return cli.load_config(args, splits=())


def describe(info: ModelInfo) -> str:
    """Write what is known of a model for reading."""
    height, width = info.shape
    rows = [(p.name, p.params, p.flops, p.activations) for p in info.parts]
    rows.append(('total', info.params, info.flops, info.activations))
    maps = zip(info.strides, info.channels, strict=True)
    lines = [
        f'{info.config}, one image of {height} x {width}, FLOPs are multiply-adds',
        f'  {"part":24}{"params M":>10}{"FLOPs G":>10}{"activations M":>15}',
        *(
            f'  {name:24}{params / 1e6:10.2f}{flops / 1e9:10.1f}{outputs / 1e6:15.1f}'
            for name, params, flops, outputs in rows
        ),
        '  backbone emits '
        + ', '.join(f'{c} channels at stride {stride}' for stride, c in maps),
    ]
    if info.training is None:
        return '\n'.join([*lines, '  memory of a training step: not estimated'])
    step = info.training
    height, width = step.shape
    names = ('weights', 'gradients', 'optimizer', 'activations')
    sizes = (f'{name} {getattr(step, name) / 2**30:.2f}' for name in names)
    lines += [
        f'  training step of {step.batch_size} x {height} x {width}, '
        f'{f"AMP {step.amp}" if step.amp else "no AMP"}: about '
        f'{step.total / 2**30:.1f} GiB, an estimate: {", ".join(sizes)}'
    ]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(cli.run(main))
