"""Changes what happens when modules of others are imported.

They are changed after they were run, run later, or their failure is explained.

Importing this module needs the standard library only.
"""

import functools
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

_PATCHES: dict[str, Callable[[ModuleType], None]] = {}
_EXPLANATIONS: dict[str, Callable[[ImportError], str | None]] = {}
_DEFERRED: dict[str, tuple[str, ...]] = {}


class PatchFinder:
    """Meta path finder that has registered modules patched when they are run.

    It leaves finding them to the other finders, and their loaders in place.
    """

    @staticmethod
    def find_spec(
        name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec that another finder has for a registered module."""
        if not any(name in names for names in (_PATCHES, _EXPLANATIONS, _DEFERRED)):
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
        if name in _DEFERRED:
            spec.loader.exec_module = functools.partial(_defer, run, _DEFERRED[name])
            return spec

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

        spec.loader.exec_module = run_and_patch
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


def defer_import(name: str, *functions: str) -> None:
    """Have a module that loads slowly loaded when something of it is first used.

    Args:
        name: The module, which must not have been imported yet to gain from it.
        functions: Its functions that others import by name; called, they load it. Any
            other name loads it at once.
    """
    _DEFERRED[name] = functions
    _install()


def _defer(
    run: Callable[[ModuleType], None], functions: tuple[str, ...], module: ModuleType
) -> None:
    def load() -> None:
        vars(module).pop('__getattr__', None)
        run(module)

    def stand_in(function: str) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            if vars(module)[function] is call:
                load()
            return vars(module)[function](*args, **kwargs)

        return call

    def load_and_get(attribute: str) -> object:
        if attribute.startswith('__'):  # the import system looks for __path__
            raise AttributeError(f'module {module.__name__!r} has no {attribute!r}')
        load()
        return getattr(module, attribute)

    vars(module).update({name: stand_in(name) for name in functions})
    vars(module)['__getattr__'] = load_and_get


def _install() -> None:
    if PatchFinder not in sys.meta_path:
        sys.meta_path.insert(0, PatchFinder)
