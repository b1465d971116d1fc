"""Changes modules of mmengine when they are imported, or at once if they were.

Importing this module needs the standard library only.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

_PATCHES: dict[str, Callable[[ModuleType], None]] = {}


class PatchFinder:
    """Meta path finder that has registered modules patched when they are run.

    It leaves finding them to the other finders, and their loaders in place.
    """

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec that another finder has for a module to patch."""
        if name not in _PATCHES:
            return None
        specs = (
            finder.find_spec(name, path, target)
            for finder in sys.meta_path
            if finder is not PatchFinder and hasattr(finder, 'find_spec')
        )
        spec = next(filter(None, specs), None)
        if spec is None or not hasattr(spec.loader, 'exec_module'):
            return spec
        run = spec.loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            run(module)
            if module.__name__ == name:
                _PATCHES[name](module)

        spec.loader.exec_module = run_and_patch
        return spec


def patch_on_import(name: str, patch: Callable[[ModuleType], None]) -> None:
    """Have ``patch`` called with a module once it was run; a second call is free."""
    if name in _PATCHES:
        return
    _PATCHES[name] = patch
    if PatchFinder not in sys.meta_path:
        sys.meta_path.insert(0, PatchFinder)
    if name in sys.modules:
        patch(sys.modules[name])
