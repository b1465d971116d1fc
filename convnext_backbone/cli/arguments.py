"""Arguments that several commands take."""

import argparse

from mmengine.config import DictAction

from convnext_backbone import checkpoints
from convnext_backbone.cli import PROGRAM


def new_parser(command: str, text: str | None) -> argparse.ArgumentParser:
    """Build the parser of a command, with the option that all commands take.

    Args:
        command: Its name.
        text: What it does, the docstring of its module.
    """
    parser = argparse.ArgumentParser(
        prog=f'{PROGRAM} {command}',
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show the traceback of an error (CONVNEXT_DEBUG=1 does it too)',
    )
    return parser


class _Options(DictAction):
    """mmengine's KEY=VALUE arguments, with a usage error for any other form."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        wrong = [value for value in values if '=' not in value]
        if wrong:
            parser.error(f'--cfg-options takes KEY=VALUE, got {wrong[0]!r}')
        super().__call__(parser, namespace, values, option_string)


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, got {text}')
    return number


def add_config_arguments(
    parser: argparse.ArgumentParser, nargs: str | None = None
) -> None:
    """Add what every command that reads a config takes: CONFIG and its overrides.

    Args:
        parser: Receives the arguments.
        nargs: With '*', for a command that takes several configs, the argument is a
            list and called ``configs``.
    """
    parser.add_argument(
        'configs' if nargs else 'config',
        nargs=nargs,
        metavar='CONFIG',
        help='a file, or a name such as det/cascade_convnext_t_coco',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Options,
        metavar='KEY=VALUE',
        help='override config values, e.g. train_dataloader.batch_size=4',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a run over a data set takes: where from, where to, how started."""
    add_data_root_argument(parser)
    parser.add_argument(
        '--work-dir', metavar='D', help='output folder (default: work_dirs/CONFIG_NAME)'
    )
    add_launcher_arguments(parser)


def add_data_root_argument(parser: argparse.ArgumentParser) -> None:
    """Add where the data set is, for a command that reads a config's."""
    parser.add_argument(
        '--data-root', metavar='D', help="data set to use in place of the config's"
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how the processes of a distributed run were started."""
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how the processes of a distributed run were started',
    )
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
    )  # torch.distributed.launch passes it


def add_mask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the user may say of segmentation data, see :class:`MaskOptions`."""
    parser.add_argument(
        '--ignore-label',
        type=int,
        metavar='N',
        help='number in index masks of pixels that do not count; the other numbers '
        'from 0 on are the classes',
    )
    parser.add_argument(
        '--images',
        metavar='DIR',
        help='folder of the images, in PATH or elsewhere, with --masks',
    )
    parser.add_argument(
        '--masks',
        metavar='DIR',
        help='folder of their masks, which have the same names in the same subfolders',
    )


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Add CHECKPOINT: a file, a work dir that holds some, or a name to fetch."""
    parser.add_argument(
        'checkpoint',
        metavar='CHECKPOINT',
        help='a file; a work dir: its best checkpoint, or else its last; a URL or '
        'meta:// name',
    )
    add_trust_argument(parser)


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add --trust-checkpoint, which takes effect as soon as it is parsed."""
    parser.add_argument(
        '--trust-checkpoint',
        action=_Trust,
        nargs=0,
        help='unpickle checkpoints whatever they hold: such a file can run any code as '
        'you, so only for files whose maker you trust; without it nothing but tensors '
        'and plain containers is read',
    )


class _Trust(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        checkpoints.trust()
