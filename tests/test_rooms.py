"""Which room may import which: data walks one way, and no circle is closed.

The table is the architecture. A room that needs another one which it may not import
is a sign that something stands in the wrong room.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGE = ROOT / 'convnext_backbone'
BASIS = {'foundation'}
HEART = {*BASIS, 'registry', 'backbone'}
MAY_IMPORT = {
    'foundation': set(),
    'registry': set(),
    'backbone': {*BASIS, 'registry'},
    'checkpoints': HEART,
    'openmmlab': {*BASIS, 'registry', 'checkpoints'},
    'config': {*BASIS, 'backbone', 'openmmlab'},
    'results': {*BASIS, 'registry'},
    'datasets': {*BASIS, 'results'},
    'demo_scenes': BASIS,
    'inspect_config': {*BASIS, 'backbone', 'openmmlab', 'config'},
    'tasks': {
        *(*HEART, 'checkpoints', 'openmmlab', 'config', 'results', 'datasets'),
        'inspect_config',
    },
    'export': {*BASIS, 'backbone', 'checkpoints', 'openmmlab', 'config', 'tasks'},
    'benchmark': {
        *(*BASIS, 'backbone', 'checkpoints', 'openmmlab', 'config'),
        *('inspect_config', 'export'),
    },
    'cli': {
        *(*BASIS, 'backbone', 'checkpoints', 'openmmlab', 'config', 'datasets'),
        *('demo_scenes', 'inspect_config', 'tasks', 'export', 'benchmark'),
    },
    '__main__': {'cli'},
    '__init__': {*BASIS, 'backbone', 'config', 'openmmlab'},
}
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts): path
    for path in PACKAGE.rglob('*.py')
}


def room(module: str) -> str:
    """Return the folder below the package, or the module at its root."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else '__init__'


def imported(path: Path, everywhere: bool) -> Iterator[str]:
    """Yield the package's modules that a file imports.

    Args:
        path: The file.
        everywhere: Also within functions and under TYPE_CHECKING.
    """
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in ast.walk(tree) if everywhere else tree.body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: imports are absolute'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        for name in names:
            if name.split('.')[0] == 'convnext_backbone':
                yield resolve(name)


@cache
def resolve(name: str) -> str:
    """Return the module that a dotted name is, or that holds it."""
    while name not in MODULES and f'{name}.__init__' not in MODULES:
        name = name.rpartition('.')[0]
    return name


def test_every_folder_is_in_the_table():
    rooms = {p.parent.name for p in PACKAGE.glob('*/__init__.py')}
    assert rooms | {p.stem for p in PACKAGE.glob('*.py')} == set(MAY_IMPORT)
    assert (
        not {p.name for p in PACKAGE.iterdir() if p.is_dir()} - rooms - {'__pycache__'}
    )


@pytest.mark.parametrize('importer', MAY_IMPORT)
def test_a_room_imports_what_it_may(importer):
    known = {importer, '__init__', *MAY_IMPORT[importer]}
    used = set()
    for module, path in MODULES.items():
        if room(module) == importer:
            for name in imported(path, everywhere=True):
                used.add(room(name))
                assert room(name) in known, f'{module} imports {name}'
    unused = MAY_IMPORT[importer] - used
    assert not unused, f'the table lets {importer} import {unused}, and it does not'


def test_the_table_has_no_circle():
    graph = {r: others - {r} for r, others in MAY_IMPORT.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_modules_import_each_other_in_no_circle():
    """Of what is imported while a module loads; an __init__ counts by its own name."""
    graph = {
        module.removesuffix('.__init__'): set(imported(path, everywhere=False))
        for module, path in MODULES.items()
    }
    root = 'convnext_backbone'  # every module has it for a parent
    for module, names in graph.items():
        names -= {module, root, *(f'{root}.{part}' for part in parents(module))}
    assert list(TopologicalSorter(graph).static_order())


def parents(module: str) -> Iterator[str]:
    """Yield the packages that hold a module, without the root."""
    parts = module.split('.')[1:-1]
    for end in range(1, len(parts) + 1):
        yield '.'.join(parts[:end])
