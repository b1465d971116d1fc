"""Finds the project's configs by name, in a checkout and in an installed package.

``convnext_backbone::det/cascade_convnext_t_coco.py`` then works in mmengine's
``Config.fromfile`` and as a ``_base_``, as ``mmdet::...`` does as a ``_base_``.

Importing this module needs the standard library only.
"""

import functools
import os
from pathlib import Path
from types import ModuleType

from convnext_backbone.openmmlab.import_patches import patch_on_import

PACKAGE = Path(__file__).parents[1]
SCOPE = 'convnext_backbone::'


def configs_dir() -> Path:
    """Return the folder with ``det/`` and ``seg/``."""
    installed = PACKAGE / '.mim' / 'configs'  # where OpenMMLab's packages have theirs
    return installed if installed.is_dir() else PACKAGE.parent / 'configs'


def find_config(name: str) -> Path | None:
    """Return the file of a config's name, None if there is none of this name.

    Args:
        name: ``det/cascade_convnext_t_coco``, with or without ``.py`` and with or
            without ``convnext_backbone::`` or ``configs/`` before it.
    """
    name = name.removeprefix(SCOPE).removeprefix('configs/')
    path = configs_dir() / (name if name.endswith('.py') else f'{name}.py')
    return path if path.is_file() else None


def install() -> None:
    """Teaches mmengine's Config our names; a second call is free."""
    patch_on_import('mmengine.config.config', _patch_config)


def _patch_config(module: ModuleType) -> None:
    config = module.Config
    fromfile, get_cfg_path = config.fromfile, config._get_cfg_path

    @functools.wraps(fromfile)
    def fromfile_by_name(filename: str | Path, *args, **kwargs) -> object:
        return fromfile(_resolve(os.fspath(filename)), *args, **kwargs)

    @functools.wraps(get_cfg_path)
    def get_cfg_path_by_name(cfg_path: str, filename: str) -> tuple:
        if cfg_path.startswith(SCOPE):
            return _resolve(cfg_path), None  # types keep the user's default_scope
        return get_cfg_path(cfg_path, filename)

    config.fromfile = staticmethod(fromfile_by_name)
    config._get_cfg_path = staticmethod(get_cfg_path_by_name)


def _resolve(name: str) -> str:
    """Return the path behind one of our names, any other name as it is."""
    if not name.startswith(SCOPE):
        return name
    path = find_config(name)
    if path is None:
        raise FileNotFoundError(f'{name}: there is no such config in {configs_dir()}')
    return str(path)
