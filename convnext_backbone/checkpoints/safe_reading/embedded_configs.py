"""Configs inside checkpoints: text that mmengine runs as Python.

``Config.fromstring`` executes what it is given, and mmengine gives it the config
that a checkpoint holds: its Runner when it resumes, its inferencers when the user
names no config. Text that is more than data is therefore left out.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

CONTAINERS = {'dict': dict, 'list': list, 'tuple': tuple, 'set': set}
# A config can ask for imports; these packages are the ones that it is for.
IMPORTABLE = ('convnext_backbone', 'mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'mmseg')


def drop_code(checkpoint: dict, path: Path) -> None:
    """Remove configs that could run code from a checkpoint, and say so."""
    for holder, key in list(_configs(checkpoint)):
        if not is_data(holder[key]):
            del holder[key]
            MMLogger.get_current_instance().warning(
                f'{path}: the config inside was left out, it holds code or imports '
                f'of its own; give the config as a file where it is needed'
            )


def _configs(checkpoint: dict) -> Iterator[tuple[dict, str]]:
    hub = checkpoint.get('message_hub')
    runtime = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    for holder in (checkpoint.get('meta'), runtime):
        if isinstance(holder, dict):
            for key in ('cfg', 'config'):
                if isinstance(holder.get(key), str):
                    yield holder, key


def is_data(text: str) -> bool:
    """Tell whether a config assigns nothing but data, and imports only what it may."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for statement in statements:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif not isinstance(statement, ast.Expr):  # its docstring
            return False
        value = statement.value
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if not _is_plain(value) or len(names) < len(targets) or '_base_' in names:
            return False
        if 'custom_imports' in names:
            strings = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
            modules = [s.partition('.')[0] for s in strings if isinstance(s, str)]
            if not set(modules) <= {*IMPORTABLE, 'imports', 'allow_failed_imports'}:
                return False
    return True


def plain_values(text: str) -> dict[str, object]:
    """Return what a config assigns to names, as far as it is data; nothing is run."""
    values: dict[str, object] = {}
    try:
        statements = ast.parse(text).body
        for statement in statements:
            if isinstance(statement, ast.Assign) and _is_plain(statement.value):
                value = _evaluate(statement.value)
                names = (n.id for n in statement.targets if isinstance(n, ast.Name))
                values.update(dict.fromkeys(names, value))
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return {}  # the last ones of a call such as dict(1)
    return values


def _evaluate(node: ast.expr) -> Any:
    """Return the value of a node that :func:`_is_plain`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return -_evaluate(node.operand)
    if isinstance(node, ast.Dict):
        keys = (_evaluate(key) for key in node.keys if key is not None)
        return dict(zip(keys, map(_evaluate, node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        given = {k.arg: _evaluate(k.value) for k in node.keywords if k.arg is not None}
        return CONTAINERS[node.func.id](*map(_evaluate, node.args), **given)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(map(_evaluate, node.elts))
    raise TypeError(f'{type(node).__name__} is no plain value')


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return all(_is_plain(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return all(item is not None and _is_plain(item) for item in node.keys) and all(
            _is_plain(item) for item in node.values
        )
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in CONTAINERS
        given = [*node.args, *(k.value for k in node.keywords if k.arg is not None)]
        unpacked = any(k.arg is None for k in node.keywords)
        return known and not unpacked and all(_is_plain(item) for item in given)
    return False
