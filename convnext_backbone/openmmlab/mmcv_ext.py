"""Makes ``mmcv.ops`` importable where mmcv has no compiled extension.

``pip install onedl-mmcv`` leaves mmcv without ``mmcv._ext``, and detectors
cannot be built. :func:`install` appends a finder to ``sys.meta_path`` that loads
``served_ops.py``, torchvision's kernels behind mmcv's signatures, under the name
``mmcv._ext``. Being the last finder, it gives way to a compiled extension.

Modules of mmcv, mmdet and mmseg that were imported before may have met the
missing extension and swallowed the ImportError. They are given the names they
asked for; where that cannot help any more, a warning names the modules.

Importing this module needs the standard library only.
"""

import ast
import importlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

EXTENSION = 'mmcv._ext'
SERVED_OPS = Path(__file__).with_name('served_ops.py')

# Packages whose modules may have gone without the ops, and those of them from
# which a guarded import can have failed for that reason.
_ROOTS = ('mmcv', 'mmdet', 'mmseg')
_GUARDED_IMPORT = re.compile(r'^\s+from (mmcv|mmdet)\b', re.MULTILINE)
_GUARDED_SOURCES = ('mmcv.', 'mmdet.')


class ServedOpsFinder:
    """Meta path finder of exactly one module, ``mmcv._ext``."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the spec of the served ops for ``mmcv._ext``, else None."""
        if name == EXTENSION:
            return importlib.util.spec_from_file_location(name, SERVED_OPS)
        return None


def install() -> None:
    """Serves ``mmcv._ext`` unless mmcv has a compiled one; a second call is free.

    Warns:
        UserWarning: a module of mmseg or mmdet was imported earlier, did without
            the ops and cannot be repaired; the message names it and the fix.
    """
    if ServedOpsFinder in sys.meta_path:
        return
    sys.meta_path.append(ServedOpsFinder)
    if 'mmcv' in sys.modules:
        _repair_early_imports()


def is_served() -> bool:
    """Whether ``mmcv._ext`` is served here, and not compiled."""
    return _is_served(importlib.util.find_spec(EXTENSION))


class _SwallowedImport(NamedTuple):
    """``from source import name as alias``, failed in a module that carried on."""

    module: ModuleType
    source: str
    name: str
    alias: str
    is_base_class: bool


def _repair_early_imports() -> None:
    """Gives modules imported too early the ops that they did without."""
    swallowed = [
        item for module in _loaded_modules() for item in _swallowed_imports(module)
    ]
    if not swallowed or not _is_served(importlib.util.find_spec(EXTENSION)):
        return
    importlib.import_module('mmcv.ops')
    lost = {item.module.__name__ for item in swallowed if item.is_base_class}
    _bind([item for item in swallowed if item.module.__name__ not in lost])
    if lost:
        warnings.warn(
            'convnext_backbone was imported too late for '
            + ', '.join(sorted(lost))
            + ': imported before it, without the compiled ops of mmcv, these '
            'modules do not work in this process (all others do). Put `import '
            'convnext_backbone` before the first import of mmdet or mmseg.',
            # install, the package's __init__, then whoever imports the package.
            stacklevel=4,
        )


def _loaded_modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition('.')[0] in _ROOTS
    ]


def _is_served(spec: ModuleSpec | None) -> bool:
    return spec is not None and spec.origin == str(SERVED_OPS)


def _swallowed_imports(module: ModuleType) -> Iterator[_SwallowedImport]:
    """Yields the guarded top-level imports of ``module`` that have failed."""
    file = getattr(module, '__file__', None) or ''
    if not file.endswith('.py'):
        return
    text = Path(file).read_text(encoding='utf-8')
    if not _GUARDED_IMPORT.search(text):
        return
    body = ast.parse(text).body
    bases = {
        base.id
        for node in body
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    for block in body:
        if not isinstance(block, ast.Try):
            continue
        failed = False
        for node in block.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            relative = '.' * node.level + (node.module or '')
            source = importlib.util.resolve_name(relative, module.__package__)
            # What follows a failed import in the same block was skipped with it.
            failed = failed or any(_has_failed(source, n.name) for n in node.names)
            if failed:
                for item in node.names:
                    alias = item.asname or item.name
                    yield _SwallowedImport(
                        module, source, item.name, alias, alias in bases
                    )


def _has_failed(source: str, name: str) -> bool:
    """Whether ``from source import name`` left no trace, though it is installed."""
    if not f'{source}.'.startswith(_GUARDED_SOURCES):
        return False
    parts = source.split('.')
    if all('.'.join(parts[: i + 1]) in sys.modules for i in range(len(parts))):
        return not hasattr(sys.modules[source], name)
    return importlib.util.find_spec(parts[0]) is not None


def _bind(swallowed: list[_SwallowedImport]) -> None:
    """Makes up for imports, also where a module passed its stand-in on to others."""
    stand_ins = {}
    for item in swallowed:
        try:
            value = getattr(importlib.import_module(item.source), item.name)
        except (ImportError, AttributeError):
            # Failed for another reason, so the stand-in is right.
            continue
        old = getattr(item.module, item.alias, None)
        if getattr(old, '__module__', None) == item.module.__name__:
            stand_ins[id(old)] = (old, value)
        setattr(item.module, item.alias, value)
    for module in _loaded_modules():
        for name, held in list(vars(module).items()):
            if id(held) in stand_ins:
                setattr(module, name, stand_ins[id(held)][1])
