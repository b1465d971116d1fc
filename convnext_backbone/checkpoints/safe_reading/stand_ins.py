"""Objects that a checkpoint may hold, made without running what it names.

torch reads a file with ``weights_only=True`` and finds, in place of the classes it
does not know, stand-ins that record what a file makes them from. :func:`real` makes
the objects from their records, with the functions of this module.
"""

import argparse
import builtins
import datetime
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, serialization

BUFFER = 'mmengine.logging.history_buffer.HistoryBuffer'
STATISTICS = ('min', 'max', 'mean', 'current')  # its methods that it lists


class Record:
    """Stands in for an object: remembers what the file makes it from."""

    args: tuple[object, ...]
    state: object

    def __new__(cls, *args: object) -> 'Record':
        """Keep the arguments of the call."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: object) -> None:
        """Keep the state that a pickle sets afterwards."""
        self.state = state


class RefusedError(Exception):
    """An object that is not made; the message is its name."""


class _PlainDict:
    """Stands in for subclasses of dict; plain dicts come out."""

    # mypy expects an instance of the class; a file is to get a plain dict.
    def __new__(cls, *args: object) -> dict:  # type: ignore[misc]
        return dict(*(arg for arg in args if isinstance(arg, dict)))


_lock = threading.Lock()


@contextmanager
def only_records() -> Iterator[None]:
    """Within, torch knows our stand-ins and no class that was allowed elsewhere."""
    with _lock:
        allowed = serialization.get_safe_globals()
        serialization.clear_safe_globals()
        serialization.add_safe_globals([*_STAND_INS])
        try:
            yield
        finally:
            serialization.clear_safe_globals()
            serialization.add_safe_globals(allowed)


def real(value: object, done: dict[int, tuple]) -> object:
    """``value`` with real objects for records; dicts and lists are changed in place.

    Args:
        value: What torch read.
        done: The values seen so far, by id, with what became of them.

    Raises:
        RefusedError: Something is neither a plain value nor in a list of this module.
    """
    if id(value) in done:
        return done[id(value)][1]
    if isinstance(value, (dict, list)):
        done[id(value)] = value, value  # before its items, one of which it may be
    made = value
    if isinstance(value, Tensor):
        made = value.detach()  # without the hooks and attributes of the file
    elif isinstance(value, dict):
        attributes = getattr(value, '__dict__', {})
        metadata = attributes.get('_metadata')
        attributes.clear()
        items = [(real(k, done), real(v, done)) for k, v in value.items()]
        value.clear()
        for key, item in items:
            value[key] = item
        if metadata is not None:
            attributes['_metadata'] = real(metadata, done)
    elif type(value) is list:
        value[:] = [real(item, done) for item in value]
    elif type(value) is set:
        made = {real(item, done) for item in value}
    elif type(value) is tuple:
        made = tuple(real(item, done) for item in value)
    elif isinstance(value, Record) and _name(type(value)) in _MAKERS:
        make = _MAKERS[_name(type(value))]
        made = make(real(value.args, done), real(value.state, done))
    elif isinstance(value, type) and _name(value) in _CLASSES:
        made = _CLASSES[_name(value)]
    elif not isinstance(value, _PLAIN):
        raise RefusedError(_name(value if isinstance(value, type) else type(value)))
    done[id(value)] = value, made
    return made


def _name(kind: type) -> str:
    return f'{kind.__module__}.{kind.__qualname__}'


def _calling(kind: type) -> Callable[[tuple, object], object]:
    return lambda args, state: kind(*args)


def _namespace(args: tuple, state: dict | None) -> argparse.Namespace:
    return argparse.Namespace(**(state or {}))


def _bytes(args: tuple, state: object) -> bytes:
    return b''.join(args)  # none, in fact: only empty bytes are pickled like this


def _dtype(args: tuple, state: tuple | None) -> np.dtype:
    # Structured types are left out: their flags can turn bytes into pointers.
    if not re.fullmatch(r'[biufcSU]\d+|O8?', args[0]):
        raise RefusedError(f'numpy.dtype({args[0]!r})')
    return np.dtype(args[0]).newbyteorder(state[1] if state else '=')


def _array(args: tuple, state: tuple) -> np.ndarray:
    _, shape, dtype, is_fortran, data = state
    if dtype.hasobject:
        array = np.fromiter(data, object, len(data))
    else:
        array = np.frombuffer(data, dtype).copy()
    return array.reshape(shape, order='F' if is_fortran else 'C')


def _scalar(args: tuple, state: object) -> np.generic:
    return np.frombuffer(args[1], args[0])[0]


def _statistic(args: tuple, state: object) -> Callable:
    if args[0] is not HistoryBuffer or args[1] not in STATISTICS:
        raise RefusedError('builtins.getattr')
    return getattr(*args)


def _history_buffer(args: tuple, state: dict) -> HistoryBuffer:
    # Its __setstate__ would take over the file's methods, for all HistoryBuffers.
    return HistoryBuffer(
        state['_log_history'], state['_count_history'], state['max_length']
    )


# What is made of records: by functions that copy values, or by immutable types that
# only hold their arguments. None opens, imports or calls anything that a file names.
_MAKERS: dict[str, Callable[..., object]] = {
    'argparse.Namespace': _namespace,
    'builtins.bytes': _bytes,
    'builtins.frozenset': _calling(frozenset),
    'builtins.getattr': _statistic,  # of a HistoryBuffer, nothing else
    'builtins.slice': _calling(slice),
    BUFFER: _history_buffer,
    'numpy.dtype': _dtype,
    'numpy.core.multiarray._reconstruct': _array,
    'numpy.core.multiarray.scalar': _scalar,
    'numpy._core.multiarray._reconstruct': _array,
    'numpy._core.multiarray.scalar': _scalar,
    **{
        f'datetime.{name}': _calling(getattr(datetime, name))
        for name in ('date', 'datetime', 'time', 'timedelta', 'timezone')
    },
    **{
        f'{module}.{prefix}{system}Path': _calling(kind)
        for module in ('pathlib', 'pathlib._local')
        for prefix in ('', 'Pure')
        for system, kind in (('Posix', PurePosixPath), ('Windows', PureWindowsPath))
    },
}

# Classes that are only referred to: of arrays, items, types of arguments.
_CLASSES = {
    BUFFER: HistoryBuffer,
    'numpy.ndarray': np.ndarray,
    **{
        f'builtins.{name}': getattr(builtins, name)
        for name in ('bool', 'dict', 'float', 'int', 'list', 'str', 'tuple')
    },
}

# Subclasses of dict, which become plain ones.
_DICTS = ('collections.defaultdict', 'mmengine.config.config.ConfigDict')

# What torch makes itself with weights_only=True, of numbers and containers alone.
_MADE_BY_TORCH = (
    'builtins.complex',
    'builtins.set',
    'collections.Counter',
    'collections.OrderedDict',
    'torch.Size',
    'torch.device',
    'torch._utils._rebuild_parameter',
    'torch._utils._rebuild_parameter_with_state',
    'torch.serialization._get_layout',
)

LISTED = {*_MADE_BY_TORCH, *_MAKERS, *_CLASSES, *_DICTS}

_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray),
    *(torch.Size, torch.device, torch.dtype, torch.layout),
)


def _stand_ins() -> Iterator[type]:
    """Yields a class for every name: torch finds it by its module and its name."""
    for base, names in ((Record, {*_MAKERS, *_CLASSES}), (_PlainDict, _DICTS)):
        for name in names:
            module, _, kind = name.rpartition('.')
            yield type(kind, (base,), {'__module__': module, '__qualname__': kind})


_STAND_INS = list(_stand_ins())
