"""Lets mmengine load checkpoints without running code that is in them.

mmengine unpickles what it loads: the original by ``torch.load`` as torch's default
has it, the fork after a try with ``weights_only``, and both without limits what they
download. :func:`install` puts :func:`.checkpoints.safe_reading.reading.read_file`
below all of it: ``load_checkpoint``, ``CheckpointLoader``, ``load_from``, ``resume``,
``init_cfg`` and the inferencers of mmdet and mmseg. They then take timm://, hf:// and
meta:// as well. Loaders that a user registers for a scheme are left alone.

Importing this module needs the standard library only.
"""

import functools
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

from convnext_backbone.openmmlab import compat
from convnext_backbone.openmmlab.import_patches import patch_on_import

if TYPE_CHECKING:
    from convnext_backbone.checkpoints.reference import Source
    from convnext_backbone.checkpoints.safe_reading.reading import MapLocation

_ROOTS = ('mmengine', 'mmcv', 'mmdet', 'mmseg')


def install() -> None:
    """Make mmengine's loading safe, imported or not; a second call does nothing."""
    patch_on_import('mmengine.runner.checkpoint', _patch_checkpoint)
    patch_on_import('mmengine.utils.dl_utils.hub', _patch_hub)


class _SafeTorch(ModuleType):
    """torch for one module of mmengine, with a ``load`` that runs no code."""

    def __init__(self, torch: ModuleType) -> None:
        super().__init__(torch.__name__, torch.__doc__)
        self._torch = torch

    def __getattr__(self, name: str) -> object:
        return getattr(self._torch, name)

    @staticmethod
    def load(
        file: str | Path | BinaryIO,
        map_location: 'MapLocation' = None,
        **_: object,
    ) -> dict:
        """Read a path or an open file; the other arguments are ignored."""
        if not hasattr(file, 'read'):
            return _read(file, map_location)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'checkpoint')
            path.write_bytes(file.read())
            return _read(path, map_location)


def _patch_checkpoint(module: ModuleType) -> None:
    """Patch mmengine.runner.checkpoint, whose loaders all end in torch or load_url."""
    load = module.load_from_local

    @functools.wraps(load)
    def load_from_local(filename: str, map_location: 'MapLocation' = None) -> dict:
        from convnext_backbone.checkpoints.reference import CheckpointRef

        reference = CheckpointRef.parse(filename)
        if reference.is_remote:
            return _load_url(reference, map_location=map_location)
        return load(filename, map_location)

    vars(module).update(
        torch=_SafeTorch(module.torch),
        load_url=_load_url,
        load_from_local=load_from_local,
    )
    schemes = compat.loader_schemes(module.CheckpointLoader)
    schemes.update({k: load_from_local for k, v in schemes.items() if v is load})


def _patch_hub(module: ModuleType) -> None:
    """Replace torch's load_url, which unpickles, here and where it was imported."""
    load_url = module.load_url
    for name, holder in list(sys.modules.items()):
        of_openmmlab = name.partition('.')[0] in _ROOTS
        if of_openmmlab and vars(holder).get('load_url') is load_url:
            vars(holder)['load_url'] = _load_url


def _load_url(
    url: 'Source',
    _dir: object = None,
    map_location: 'MapLocation' = None,
    **_: object,
) -> dict:
    """Read a remote checkpoint through the project's cache, as torch's load_url.

    A damaged download is removed, so that it is fetched again. Of torch's arguments,
    all but ``map_location`` are about another cache.
    """
    from convnext_backbone.checkpoints import sources

    path = sources.fetch(url)
    with sources.drop_broken(path):
        return _read(path, map_location)


def _read(path: str | Path, map_location: 'MapLocation') -> dict:
    """Read a file; where torch would restore tensors to their GPU, the CPU serves."""
    from convnext_backbone.checkpoints.safe_reading.reading import read_file

    return read_file(path, map_location or 'cpu')
