"""Reads the config that a user names, applies the overrides and checks it."""

import difflib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from convnext_backbone.config.checks import check_config
from convnext_backbone.config.names import configs_dir, find_config
from convnext_backbone.foundation.errors import UserError

# Top-level keys that are read after the file was; others are variables in it.
READ = {
    *set(inspect.signature(Runner).parameters) - {'data_preprocessor'},  # the model's
    'compile',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
COPIES_SHOWN = 4


def load_config(
    config: str,
    splits: tuple[str, ...] = (),
    *,
    cfg_options: Mapping[str, object] | None = None,
    data_root: str | None = None,
) -> Config:
    """Read a config, apply the overrides and check it.

    Args:
        config: What :func:`read_config` takes.
        splits: Which data loaders are going to be used, of 'train', 'val' and 'test';
            their data must exist.
        cfg_options: Values by dotted key, as ``--cfg-options`` states them.
        data_root: Folder of the data set, in place of the config's. An option
            ``data_root`` means the same; other options may change single paths then.

    Raises:
        UserError: The config cannot be read, an option does not fit it or would have
            no effect, a data path does not exist, or classes or channels do not match;
            the message states the fix.
    """
    cfg = read_config(config)
    options = dict(cfg_options or {})
    root = options.pop('data_root', None)
    if root is not None and data_root not in (None, root):
        raise UserError(
            f'--data-root {data_root} and --cfg-options data_root={root} name two '
            f'folders: give one of them'
        )
    if root is not None or data_root is not None:
        set_data_root(cfg, str(root if data_root is None else data_root))
    check_variables(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UserError(
            f'--cfg-options does not fit config {config}: {error}'
        ) from error
    check_config(cfg, splits)
    return cfg


def load_run_config(
    config: str,
    splits: tuple[str, ...],
    *,
    work_dir: str | None = None,
    launcher: str = 'none',
    cfg_options: Mapping[str, object] | None = None,
    data_root: str | None = None,
) -> Config:
    """Load a config for a run over a data set, ready for ``Runner.from_cfg``.

    Args:
        config: What :func:`read_config` takes.
        splits: See :func:`load_config`.
        work_dir: Output folder; None takes the config's, or else
            ``work_dirs/CONFIG_NAME``.
        launcher: How the processes of a distributed run were started.
        cfg_options: See :func:`load_config`.
        data_root: See :func:`load_config`.

    Raises:
        UserError: See :func:`load_config`.
    """
    cfg = load_config(config, splits, cfg_options=cfg_options, data_root=data_root)
    default = str(Path('work_dirs', Path(config).stem))
    cfg.work_dir = work_dir or cfg.get('work_dir') or default
    cfg.launcher = launcher
    return cfg


def read_config(path: str) -> Config:
    """Read a config.

    Args:
        path: A file, or the name of one of the project's, with or without ``.py``,
            such as ``det/cascade_convnext_t_coco``.

    Raises:
        UserError: There is no such file, or it is not a valid config.
    """
    file = Path(path) if Path(path).is_file() else find_config(path)
    if file is None:
        root = configs_dir()
        known = [str(p.relative_to(root)) for p in root.glob('*/*.py')]
        wanted = path.removeprefix('configs/')
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
        hint = f'did you mean {" or ".join(near)}?' if near else f'see {root}'
        raise UserError(f'config {path} does not exist: {hint}')
    try:
        return Config.fromfile(file)
    except Exception as error:  # a config is code of the user's: anything may come
        raise UserError(
            f'config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error


def check_variables(cfg: Config, options: Mapping[str, object]) -> None:
    """See that no option sets a variable that has done its work.

    A variable such as ``crop_size`` is copied to where a config file uses it when the
    file is read. To change it afterwards has no effect.

    Raises:
        UserError: An option does; the message names the keys that hold the copies.
    """
    for option in options:
        name = option.partition('.')[0]
        if name in READ or name not in cfg:
            continue
        copies = list(_copies(cfg, name))
        if copies:
            more = ', ...' if len(copies) > COPIES_SHOWN else ''
            raise UserError(
                f'--cfg-options {option}=... has no effect: config {cfg.filename} used '
                f'its variable {name} while it was read; set '
                f'{", ".join(copies[:COPIES_SHOWN])}{more} instead'
            )


def _copies(cfg: Config, name: str) -> Iterator[str]:
    """Yield the keys that have got the value of a top-level variable.

    A number or a truth value may be equal by chance, so that for these the key has to
    end in the variable's name.
    """
    wanted = cfg[name]
    distinct = isinstance(wanted, dict | list | tuple | str) and bool(wanted)

    def walk(node: object, path: tuple[str, ...]) -> Iterator[str]:
        if path and node == wanted and (distinct or path[-1] == name):
            yield '.'.join(path)
        elif isinstance(node, dict):
            for key, value in node.items():
                yield from walk(value, (*path, str(key)))
        elif isinstance(node, list | tuple):
            for i, value in enumerate(node):
                yield from walk(value, (*path, str(i)))

    for key in cfg:
        if key in READ:
            yield from walk(cfg[key], (key,))


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point every path of a config that starts with its data root to another folder.

    Raises:
        UserError: The config states no ``data_root`` that could be replaced.
    """
    old = cfg.get('data_root')
    if not old:
        raise UserError(
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
