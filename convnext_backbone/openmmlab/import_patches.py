"""Changes modules of others when they are imported, and explains why one cannot be.

Importing this module needs the standard library only.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_PATCHES: dict[str, Callable[[ModuleType], None]] = {}
_EXPLANATIONS: dict[str, Callable[[ImportError], str | None]] = {}


class PatchFinder:
    """Meta path finder that has registered modules patched when they are run.

    It leaves finding them to the other finders, and their loaders in place.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that another finder has for a registered module."""
        if name not in _PATCHES and name not in _EXPLANATIONS:
            return None
        specs = (
            finder.find_spec(name, path, target)
            for finder in sys.meta_path
            if finder is not PatchFinder and hasattr(finder, 'find_spec')
        )
        spec = next(filter(None, specs), None)
        loader = None if spec is None else spec.loader
        if loader is None or not hasattr(loader, 'exec_module'):
            return spec
        run = loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            try:
                run(module)
            except ImportError as error:
                explanation = _EXPLANATIONS.get(name, lambda error: None)(error)
                if explanation is None:
                    raise
                raise ImportError(explanation, name=error.name) from error
            if module.__name__ == name and name in _PATCHES:
                _PATCHES[name](module)

        # mypy lets no method be replaced, not even one of this loader alone.
        loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


def patch_on_import(name: str, patch: Callable[[ModuleType], None]) -> None:
    """Have ``patch`` called with a module once it was run; a second call is free."""
    if name in _PATCHES:
        return
    _PATCHES[name] = patch
    _install()
    if name in sys.modules:
        patch(sys.modules[name])


def explain_failure(name: str, explain: Callable[[ImportError], str | None]) -> None:
    """Have a better message for a module that fails to load; None keeps its own."""
    _EXPLANATIONS[name] = explain
    _install()


def _install() -> None:
    if PatchFinder not in sys.meta_path:
        sys.meta_path.insert(0, PatchFinder)
