"""Arguments, config loading and error reporting shared by every tool."""

import argparse
import difflib
import linecache
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch loads OpenMP: threads that spin while they wait hold the core that
# a data loader's worker or another process needs. Beside one busy process on two
# cores a training step took 2.1 s like this, and 8.3 s with spinning threads.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

# ruff: noqa: E402
from mmengine.config import Config, DictAction

from convnext_backbone import checkpoints
from convnext_backbone.config_checks import check_config
from convnext_backbone.config_files import PACKAGE, configs_dir, find_config


def run(main: Callable[[], int]) -> int:
    """Run a tool's ``main``; turn errors that a user can cause into one message.

    Those are ValueErrors raised by this package (also where mmengine wraps them), the
    operating system's own errors, and options of a config that its classes do not
    have. Anything else is a defect and keeps its
    traceback.

    Returns:
        The exit status: ``main``'s own, 1 after an error, 2 when a checkpoint file is
        damaged or unsafe, 130 after Ctrl-C.
    """
    try:
        return main()
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TypeError as error:
        if not re.search(r'__init__\(\) (got an unexpected|missing)', str(error)):
            raise
        print(f'error: {error}: see the config and --cfg-options', file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and not _raised_here(error):
            raise
        print(f'error: {error}', file=sys.stderr)
        return 2 if isinstance(error, checkpoints.CheckpointError) else 1


def _raised_here(error: BaseException | None) -> bool:
    """Tell whether a ``raise`` of this package made ``error`` or what it came from."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace:
            file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            raised = linecache.getline(file, line).lstrip().startswith('raise ')
            if raised and PACKAGE in Path(file).parents:
                return True
        error = error.__cause__ or error.__context__
    return False


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
    """Add what every tool that reads a config takes: CONFIG and its overrides.

    Args:
        parser: Receives the arguments.
        nargs: With '*', for a tool that takes several configs, the argument is a list
            and called ``configs``.
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
    """Add where the data set is, for a tool that reads a config's."""
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


def load_config(args: argparse.Namespace, splits: tuple[str, ...]) -> Config:
    """Read the config that ``args`` names, apply its overrides and check it.

    Args:
        args: What the ``add_..._arguments`` functions of this module parsed.
        splits: Which data loaders the tool is going to use, of 'train', 'val' and
            'test'; their data must exist.

    Returns:
        The config, ready for ``Runner.from_cfg``.

    Raises:
        ValueError: The config cannot be read, a data path does not exist, or
            classes or channels do not match; the message states the fix.
    """
    cfg = read_config(args.config)
    if args.cfg_options:
        try:
            cfg.merge_from_dict(args.cfg_options)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(
                f'--cfg-options does not fit config {args.config}: {error}'
            ) from error
    if getattr(args, 'data_root', None):
        set_data_root(cfg, args.data_root)
    if hasattr(args, 'launcher'):  # a run over a data set, add_run_arguments
        default = str(Path('work_dirs', Path(args.config).stem))
        cfg.work_dir = args.work_dir or cfg.get('work_dir') or default
        cfg.launcher = args.launcher
    check_config(cfg, splits)
    return cfg


def read_config(path: str) -> Config:
    """Read a config.

    Args:
        path: A file, or the name of one of the project's, with or without ``.py``,
            such as ``det/cascade_convnext_t_coco``.

    Raises:
        ValueError: There is no such file, or it is not a valid config.
    """
    file = Path(path) if Path(path).is_file() else find_config(path)
    if file is None:
        root = configs_dir()
        known = [str(p.relative_to(root)) for p in root.glob('*/*.py')]
        wanted = path.removeprefix('configs/')
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f'did you mean {" or ".join(near)}?' if near else f'see {root}'
        raise ValueError(f'config {path} does not exist: {hint}')
    try:
        return Config.fromfile(file)
    except Exception as error:  # a config is code of the user's: anything may come
        raise ValueError(
            f'config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point every path of a config that starts with its data root to another folder.

    Raises:
        ValueError: The config states no ``data_root`` that could be replaced.
    """
    old = cfg.get('data_root')
    if not old:
        raise ValueError(
            f'config {cfg.filename} has no top-level data_root, which --data-root '
            f'would replace: set the paths in the file'
        )
    new = data_root.rstrip('/') + '/'
    for key, value in list(cfg.items()):
        cfg[key] = _replace_prefix(value, old, new)


def _replace_prefix(value: object, old: str, new: str) -> object:
    """Copy a config value with ``old`` replaced at the start of every string."""
    if isinstance(value, str) and (value + '/').startswith(old.rstrip('/') + '/'):
        return new + value[len(old.rstrip('/')) + 1 :]
    if isinstance(value, dict):
        return type(value)({k: _replace_prefix(v, old, new) for k, v in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_replace_prefix(v, old, new) for v in value)
    return value


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
