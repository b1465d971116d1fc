"""Looks through a file of torch.save before torch reads it.

A file of torch.save is a pickle, a program that may call whatever it names.
:class:`Inspector` replays it with stand-ins that do nothing: a name that is not
listed in ``stand_ins.py``, or a tensor that the file is too small for, ends it there.
"""

import io
import math
import pickle
import re
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import serialization

from convnext_backbone.checkpoints.errors import (
    WHOLE_MODEL,
    CheckpointError,
    UnsafeCheckpointError,
    refusal,
)
from convnext_backbone.checkpoints.safe_reading.stand_ins import (
    BUFFER,
    LISTED,
    STATISTICS,
    Record,
)


def inspect_zip(file: BinaryIO, size: int, path: Path) -> None:
    """Look through torch's zip archive, which stores its entries uncompressed."""
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    # torch.save can be set to leave out the checksums, and writes 0 then.
    if not any(entry.CRC for entry in entries):
        for entry in entries:
            del entry.CRC  # zipfile checks none where there is none
    sizes = {entry.filename: entry.file_size for entry in entries}
    pickles = [name for name in sizes if re.fullmatch(r'[^/]+/data\.pkl', name)]
    if any(name.endswith('/constants.pkl') for name in sizes):
        raise UnsafeCheckpointError(f'{path} (TorchScript) {WHOLE_MODEL}')
    if len(pickles) != 1:
        raise CheckpointError(
            f'{path} is a zip archive that torch.save did not write: unpack it first'
        )
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or len(sizes) < len(entries) or sum(sizes.values()) > size:
        raise CheckpointError(
            f'{path} was not loaded: its entries are compressed, repeated or declare '
            f'more than the {size} bytes of the file, which torch.save never writes'
        )
    if bad := archive.testzip():
        raise ValueError(f'wrong checksum of {bad}')
    storages = pickles[0].removesuffix('data.pkl') + 'data/'
    sizes = {name.removeprefix(storages): sizes[name] for name in sizes}
    Inspector(io.BytesIO(archive.read(pickles[0])), path, size, sizes).inspect()


def inspect_stream(file: BinaryIO, size: int, path: Path) -> None:
    """Look through the stream of pickles that torch.save wrote before torch 1.6."""
    if Inspector(file, path, size).inspect() != serialization.MAGIC_NUMBER:
        raise CheckpointError(f'{path} was not written by torch.save or safetensors')
    for _ in ('protocol version', 'byte order'):
        Inspector(file, path, size).inspect()
    content = Inspector(file, path, size)
    content.inspect()
    keys = Inspector(file, path, size).inspect()
    if not isinstance(keys, list):
        raise ValueError('the list of storages is missing')
    for key in keys:
        (numel,) = struct.unpack('<q', file.read(8))
        storage = content.storages[key]
        if numel != storage.numel or file.seek(storage.nbytes, io.SEEK_CUR) > size:
            raise ValueError(f'storage {key} is incomplete')


class Storage(NamedTuple):
    """Memory that a file asks for."""

    numel: int
    itemsize: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.numel * self.itemsize


class _Inert(Record):
    """Stands in for any object at all: takes what a pickle does and forgets it."""

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass


class Inspector(pickle._Unpickler):
    """Replays a pickle in which every name is a stand-in: nothing of it is run.

    The unpickler in C would serve, but allocates by what a file says.
    """

    proto: int  # of the pickle, which the unpickler sets

    def __init__(
        self, file: BinaryIO, path: Path, size: int, sizes: dict | None = None
    ) -> None:
        super().__init__(file, encoding='utf-8')
        self.path = path
        self.size = size
        self.sizes = sizes
        self.storages: dict[str, Storage] = {}
        self.refused: list[str] = []

    def inspect(self) -> object:
        """Replay the pickle.

        Raises:
            CheckpointError: It asks for a name that is not in ``stand_ins.LISTED``.
        """
        try:
            content = self.load()
        except Exception:
            if not self.refused:
                raise
        if self.refused:
            raise refusal(self.path, self.refused)
        if self.proto > 2:
            raise CheckpointError(
                f'{self.path} was saved with pickle_protocol={self.proto}, and torch '
                'reads only protocol 2 safely: save it without that argument'
            )
        return content

    def find_class(self, module: str, name: str) -> object:
        """Return a stand-in for a name; note it if nothing here makes it."""
        # Names of Python 2, which pickles of protocol 2 use.
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[module, name]
        full_name = f'{IMPORT_MAPPING.get(module, module)}.{name}'
        if full_name in _CHECKED:
            return _CHECKED[full_name]
        if full_name == 'builtins.getattr':
            return self._check_getattr
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if full_name not in LISTED:
            self.refused.append(full_name)
        return type(full_name, (_Inert,), {})

    def _check_getattr(self, owner: object, name: str) -> type:
        # HistoryBuffers list their methods, which are pickled as calls of getattr.
        if getattr(owner, '__name__', None) != BUFFER or name not in STATISTICS:
            self.refused.append('builtins.getattr')
        return _Inert

    def persistent_load(self, pid: tuple) -> Storage:
        """Return the size of a storage, which must lie within the file."""
        _, itemsize, key, _, numel, *view = pid
        if key not in self.storages:
            if not _are_sizes(numel):
                raise ValueError(f'storage {key} of {numel} elements')
            self.storages[key] = storage = Storage(numel, itemsize)
            available = self.size if self.sizes is None else self.sizes[key]
            if storage.nbytes > available:
                raise ValueError(f'storage {key} is larger than the file')
            self.size -= storage.nbytes
        storage = self.storages[key]
        if any(view):
            _, offset, numel = view[0]
            if not _are_sizes(offset, numel) or offset + numel > storage.numel:
                raise ValueError(f'a part of storage {key} lies outside of it')
            return storage._replace(numel=numel)
        return storage


def _are_sizes(*numbers: object) -> bool:
    return all(type(number) is int and number >= 0 for number in numbers)


def _check_view(
    storage: Storage, offset: int, size: tuple, stride: tuple, *_: object
) -> None:
    """Make sure that a tensor lies in its storage and does not repeat elements."""
    if not _are_sizes(offset, *size, *stride) or len(size) != len(stride):
        raise ValueError(f'a tensor of shape {size} and strides {stride}')
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) > storage.numel or (0 not in size and last >= storage.numel):
        raise ValueError(f'a tensor of shape {size} with {storage.numel} elements')


def _check_typed_view(
    storage: Storage,
    offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: object,
    hooks: object,
    dtype: torch.dtype,
    *_: object,
) -> None:
    elements = storage.nbytes // dtype.itemsize
    _check_view(Storage(elements, dtype.itemsize), offset, size, stride)


def _check_encode(text: str, encoding: str) -> bytes:
    return text.encode({'latin1': 'latin1'}[encoding])


def _check_bytearray(data: bytes = b'', *_: object) -> bytearray:
    # A number would be taken as a length.
    return bytearray(memoryview(data))


# Calls whose arguments decide about memory, and the element sizes of storages.
_CHECKED = {
    '_codecs.encode': _check_encode,
    'builtins.bytearray': _check_bytearray,
    'torch._utils._rebuild_tensor': _check_view,
    'torch._utils._rebuild_tensor_v2': _check_view,
    'torch._utils._rebuild_tensor_v3': _check_typed_view,
    'torch.storage.UntypedStorage': 1,
    'torch.BoolStorage': 1,
    'torch.ByteStorage': 1,
    'torch.CharStorage': 1,
    'torch.ShortStorage': 2,
    'torch.HalfStorage': 2,
    'torch.BFloat16Storage': 2,
    'torch.IntStorage': 4,
    'torch.FloatStorage': 4,
    'torch.LongStorage': 8,
    'torch.DoubleStorage': 8,
    'torch.ComplexFloatStorage': 8,
    'torch.ComplexDoubleStorage': 16,
}
