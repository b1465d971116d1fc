"""Configs inside checkpoints: text that mmengine runs as Python.

``Config.fromstring`` executes what it is given, and mmengine gives it the config
that a checkpoint holds: its Runner when it resumes, its inferencers when the user
names no config. Text that is more than data is therefore left out.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.logging import MMLogger

CONTAINERS = ('dict', 'list', 'tuple', 'set')
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
