"""Reads checkpoint files without running anything that they bring along.

``inspection.py`` looks through a file first, torch reads it with
``weights_only=True``, and ``stand_ins.py`` makes the few objects beyond tensors and
containers that training scripts store.
"""

import io
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeAlias

import safetensors.torch
import torch
from mmengine.logging import MMLogger
from torch import Tensor
from torch.types import Storage

from convnext_backbone.checkpoints.errors import WHOLE_MODEL, CheckpointError, refusal
from convnext_backbone.checkpoints.safe_reading.embedded_configs import drop_code
from convnext_backbone.checkpoints.safe_reading.inspection import (
    inspect_stream,
    inspect_zip,
)
from convnext_backbone.checkpoints.safe_reading.stand_ins import (
    RefusedError,
    only_records,
    real,
)

_LONGEST_HEADER = 100_000_000  # bytes, of safetensors

# Where the tensors go, as torch.load takes it.
MapLocation: TypeAlias = (
    str | torch.device | dict[str, str] | Callable[[Storage, str], Storage] | None
)

_trusted = False


def trust() -> None:
    """Let checkpoints run code for the rest of the process; logs what that means."""
    global _trusted
    _trusted = True
    MMLogger.get_current_instance().warning(
        'Checkpoints are trusted in this process: reading one can run any code that '
        'its author put into it, with your rights. Read only files whose origin you '
        'know'
    )


def is_trusted() -> bool:
    """Whether :func:`trust` was called in this process."""
    return _trusted


def read_file(path: str | Path, map_location: MapLocation = 'cpu') -> dict:
    """Read a file of torch.save or of safetensors, recognised by its content.

    Args:
        path: The file. It may be overwritten afterwards: no tensor is mapped to it.
        map_location: Where the tensors go, as for ``torch.load``.

    Returns:
        The mapping that the file holds: tensors, numpy arrays and plain containers.

    Raises:
        UnsafeCheckpointError: The file could only be read by running code.
        CheckpointError: There is no such file, it is damaged, or no checkpoint.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            content = _read(file, path, map_location)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f'{path}: there is no such file') from error
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {error}') from error
    except Exception as error:  # whatever a parser trips over
        reason = str(error).strip().partition('\n')[0] or type(error).__name__
        raise CheckpointError(
            f'{path} cannot be read ({reason}): it seems damaged or cut off, so fetch '
            'or save it again'
        ) from error
    if isinstance(content, torch.nn.Module):
        raise CheckpointError(f'{path} {WHOLE_MODEL}')
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path} holds a {type(content).__name__}; expected a dict of tensors, as '
            'torch.save(model.state_dict(), path) writes it'
        )
    if not is_trusted():
        drop_code(content, path)
    return content


def check_tensors(state: Mapping[str, object], path: str | Path) -> None:
    """Refuse a state dict of no use: values that are no tensors, NaN or infinite.

    Raises:
        CheckpointError: Names the entries.
    """
    broken = []
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f'{path}: `{name}` is a {type(value).__name__}; expected a tensor '
                'under every name of a state dict'
            )
        if not _is_finite(value):
            broken.append(name)
    if broken:
        names = ', '.join(broken[:3]) + (', ...' if len(broken) > 3 else '')
        raise CheckpointError(
            f'{path}: {len(broken)} of {len(state)} tensors hold NaN or infinite '
            f'values ({names}): the training had diverged, or the file is damaged. Use '
            'an earlier checkpoint, or fetch the file again'
        )


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.dtype.itemsize == 1:
        if str(tensor.dtype).startswith('torch.float4'):  # has no NaN, no infinity
            return True
        tensor = tensor.float()  # isfinite knows few of the 8-bit types
    return bool(torch.isfinite(tensor).all())


def _read(file: BinaryIO, path: Path, map_location: MapLocation) -> object:
    """Whatever the open file holds, read safely unless files are trusted."""
    head = file.read(1024)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if kind := _foreign_kind(head, file):
        raise CheckpointError(f'{path} {kind}')
    if head[8:9] == b'{' and head[:2] not in (b'PK', b'\x80\x02'):
        length = int.from_bytes(head[:8], 'little')
        if length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f'a header of {length} bytes in a file of {size}')
        loaded = safetensors.torch.load_file(path)
        device = _device(map_location)
        return {name: tensor.clone().to(device) for name, tensor in loaded.items()}
    file.seek(0)
    if is_trusted():
        return torch.load(file, map_location=map_location, weights_only=False)
    if head.startswith(b'PK\x03\x04'):
        inspect_zip(file, size, path)
    else:
        inspect_stream(file, size, path)
    file.seek(0)
    # torch heeds TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD only where weights_only is not given.
    # Not mapped: optimizers go on using what they resume from, while files change.
    with only_records():
        loaded = torch.load(
            file, map_location=map_location, weights_only=True, mmap=False
        )
    try:
        return real(loaded, {})
    except RefusedError as error:
        raise refusal(path, [str(error)]) from None


def _foreign_kind(head: bytes, file: BinaryIO) -> str | None:
    """What a file is that cannot be a checkpoint, and what to do about it."""
    text = head.strip().lower()
    if not text:
        return 'is empty: fetch or save it again'
    if text.startswith((b'<!doctype', b'<html', b'<head', b'<?xml')):
        return 'is a web page, such as an error page, not weights: check its address'
    if text.startswith(b'version https://git-lfs'):
        return 'is a Git LFS pointer, not the weights: run `git lfs pull` there'
    if head.startswith(b'\x1f\x8b'):
        return 'is compressed with gzip: unpack it first'
    if not re.search(rb'[^\t\n\r\x20-\x7e\x80-\xff]', head):
        kind = 'JSON' if text[:1] in b'{[' else 'text'
        return f'is {kind}, not weights: give the file that holds them'
    if tarfile.is_tarfile(file):
        return 'is a tar archive: unpack it, or save it anew with torch 0.4 or later'
    return None


def _device(map_location: MapLocation) -> str | torch.device:
    """Where ``map_location`` puts what is on the CPU."""
    if map_location is None or isinstance(map_location, (str, torch.device)):
        return map_location or 'cpu'
    if isinstance(map_location, dict):
        return map_location.get('cpu', 'cpu')
    # torch's annotations do not count its own storages as such.
    placed = map_location(torch.UntypedStorage(0), 'cpu')  # type: ignore[arg-type]
    return 'cpu' if placed is None else placed.device
