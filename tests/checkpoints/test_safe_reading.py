"""Files are read without running code, and what is wrong with one is told."""

import argparse
import collections
import datetime
import functools
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MMLogger
from torch.serialization import MAGIC_NUMBER

from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.checkpoints.safe_reading import reading
from convnext_backbone.checkpoints.safe_reading import stand_ins as records
from convnext_backbone.checkpoints.safe_reading.reading import check_tensors, read_file


class Call:
    """Pickled as a call of ``function``, which loading the pickle performs."""

    def __init__(self, function, *args):
        self.function = function
        self.args = args

    def __reduce__(self):
        return self.function, self.args

    def __call__(self):
        raise NotImplementedError('pickle wants what it calls to be callable')


def touch(marker):
    return Call(Path.touch, marker)


# As pickle writes them: other versions of Python have other modules.
PATH = f'{Path.__module__}.Path'
OPEN = f'{open.__module__}.open'


def attacks(marker):
    """What would create ``marker``, by the name that the pickle asks for first."""
    objects = np.empty(2, object)
    objects[:] = [1, touch(marker)]
    buffer = HistoryBuffer([1.0], [1])
    buffer._statistics_methods = {'mean': touch(marker)}
    state = collections.OrderedDict()
    state._metadata = touch(marker)
    return {
        'os.system': Call(os.system, f'touch {marker}'),
        OPEN: Call(open, str(marker), 'w'),
        'builtins.eval': Call(eval, f'open({str(marker)!r}, "w")'),
        'builtins.exec': Call(exec, f'open({str(marker)!r}, "w")'),
        PATH: touch(marker),
        'getattr': Call(Call(getattr, marker, 'touch')),
        'array': objects,
        'functools.partial': Call(functools.partial(Path.touch, marker)),
        'statistics': buffer,
        'namespace': argparse.Namespace(lr=1, hook=touch(marker)),
        'metadata': state,
    }


NAMES = list(attacks(Path('marker')))
ASKED_FOR = {
    'getattr': 'builtins.getattr',
    'array': PATH,
    'statistics': PATH,
    'namespace': PATH,
    'metadata': PATH,
}


def save(content, path, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def is_equal(a, b):
    """Whether two contents of checkpoints are equal, down to types and shapes."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.equal(b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, HistoryBuffer):
        return is_equal(a.data, b.data) and a.max_length == b.max_length
    if isinstance(a, dict):
        return list(a) == list(b) and all(is_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(is_equal, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('name', NAMES)
def test_code_is_refused_by_name_and_not_run(tmp_path, monkeypatch, name, zipped):
    methods = dict(HistoryBuffer._statistics_methods)
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', methods)
    marker = tmp_path / 'marker'
    path = save(
        {'state_dict': {'weight': torch.ones(2)}, 'meta': [attacks(marker)[name]]},
        tmp_path / 'evil.pth',
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(UnsafeCheckpointError) as error:
        read_file(path)
    assert not marker.exists()
    assert all(methods.values())
    message = str(error.value)
    assert f'asks for `{ASKED_FOR.get(name, name)}`' in message
    assert message.startswith(f'{path} was not loaded')
    assert message.endswith('.safetensors, or give --trust-checkpoint')
    torch.load(path, weights_only=False)
    assert marker.exists()  # so it was armed


@pytest.mark.parametrize('name', ['os.system', 'getattr'])
def test_plain_pickle_is_refused(tmp_path, name):
    marker = tmp_path / 'marker'
    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(attacks(marker)[name], protocol=4))
    with pytest.raises(UnsafeCheckpointError, match=ASKED_FOR.get(name, name)):
        read_file(path)
    assert not marker.exists()


def test_environment_does_not_lift_the_limits(tmp_path, monkeypatch):
    marker = tmp_path / 'marker'
    path = save({'a': touch(marker)}, tmp_path / 'evil.pth')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(UnsafeCheckpointError):
        read_file(path)
    # Nor in the second of the two lines of defence.
    monkeypatch.setattr(reading, 'inspect_zip', lambda *args: None)
    with pytest.raises(CheckpointError, match='Weights only load failed'):
        read_file(path)
    assert not marker.exists()


def test_environment_may_ask_for_weights_only(tmp_path, monkeypatch):
    path = save({'a': torch.ones(2)}, tmp_path / 'a.pth')
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    assert read_file(path)['a'].sum() == 2


class Allowed:
    pass


def test_what_others_allowed_torch_is_not_read(tmp_path, monkeypatch):
    path = save({'a': Allowed()}, tmp_path / 'a.pth')
    with torch.serialization.safe_globals([Allowed]):
        allowed = set(torch.serialization.get_safe_globals())
        torch.load(path, weights_only=True)
        with pytest.raises(UnsafeCheckpointError, match='Allowed'):
            read_file(path)
        monkeypatch.setattr(reading, 'inspect_zip', lambda *args: None)
        with pytest.raises(CheckpointError):
            read_file(path)
        assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize('method', ['__init__', 'update', '__class__'])
def test_getattr_gives_statistics_only(tmp_path, method):
    path = save({'a': Call(getattr, HistoryBuffer, method)}, tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'`builtins.getattr`'):
        read_file(path)


def test_file_cannot_change_the_statistics_of_history_buffers(tmp_path):
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    buffer._statistics_methods = {'mean': HistoryBuffer.max, 'new': HistoryBuffer.min}
    path = save({'a': buffer}, tmp_path / 'a.pth')
    before = dict(HistoryBuffer._statistics_methods)
    loaded = read_file(path)['a']
    assert HistoryBuffer._statistics_methods == before
    assert loaded.statistics('mean') == 2
    assert vars(loaded).keys() == {'max_length', '_log_history', '_count_history'}


def test_structured_arrays_are_refused(tmp_path):
    array = np.zeros(2, [('a', int), ('b', object)])
    path = save({'a': array}, tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'numpy.dtype'):
        read_file(path)


def test_forged_array_gets_no_pointers(tmp_path):
    state = (1, (1,), np.dtype(object), False, b'\x01' * 8)
    path = save({'a': Call(np.ndarray.__setstate__, state)}, tmp_path / 'a.pth')
    with pytest.raises(UnsafeCheckpointError):
        read_file(path)
    with pytest.raises(ValueError, match='reshape'):
        records._array((), state)


def test_whole_model_is_told(tmp_path):
    path = save(torch.nn.Linear(2, 2), tmp_path / 'model.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'whole pickled model.*state_dict'):
        read_file(path)


@pytest.mark.filterwarnings('ignore:.*torch.jit')
def test_torchscript_is_told(tmp_path):
    path = tmp_path / 'model.pt'
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(UnsafeCheckpointError, match='TorchScript'):
        read_file(path)


def test_trust_reads_anything_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, '_trusted', False)
    marker = tmp_path / 'marker'
    path = save({'a': touch(marker), 'b': torch.ones(1)}, tmp_path / 'evil.pth')
    warnings = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'warning', warnings.append)
    assert not reading.is_trusted()
    reading.trust()
    assert reading.is_trusted()
    assert 'run any code' in warnings[0]
    assert read_file(path)['b'] == 1
    assert marker.exists()
    model = save(torch.nn.Linear(2, 2), tmp_path / 'model.pth')
    with pytest.raises(CheckpointError, match='whole pickled model'):
        read_file(model)


@pytest.mark.parametrize('zipped', [True, False])
def test_plain_contents_come_back_equal(tmp_path, zipped):
    values = torch.arange(6.0)
    objects = np.empty(3, object)
    objects[:] = [1, 'a', [1, 2]]
    content = {
        'tensors': [torch.zeros(0, 3), torch.tensor(3), values, values.view(2, 3).t()],
        'views': [values[2:4], values[::2]],
        'dtypes': [
            torch.ones(2).to(getattr(torch, name))
            for name in ('bfloat16', 'half', 'double', 'int8', 'bool', 'complex64')
        ],
        'numpy': [
            np.arange(6.0).reshape(2, 3).T,
            np.zeros((0, 2)),
            np.array([1, 2], '>i4'),
            np.array(['a', 'bc']),
            np.array([True]),
            objects,
        ],
        'scalars': [np.float32(1.5), np.int64(3), np.bool_(True), np.str_('abc')],
        'history': HistoryBuffer([1.0, 2.0], [1, 3], max_length=7),
        'containers': (1, {2}, frozenset({3}), collections.Counter('aab'), slice(1, 2)),
        'bytes': [b'', b'abc', bytearray(b'ab')],
        'numbers': [1, 2**70, 0.5, True, None, 1j],
        'torch': [torch.Size([1, 2]), torch.device('cuda:1'), torch.int8],
        'time': [
            datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc),
            datetime.date(2024, 1, 2),
            datetime.timedelta(hours=1),
        ],
    }
    path = save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    assert is_equal(read_file(path), content)


def test_new_types_come_back_equal(tmp_path):
    content = {
        name: torch.ones(2).to(getattr(torch, name))
        for name in ('float8_e4m3fn', 'uint16', 'uint64')
    }
    loaded = read_file(save(content, tmp_path / 'a.pth'))
    for name, tensor in content.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].float().equal(tensor.float())


def test_subclasses_become_plain(tmp_path):
    content = {
        'default': collections.defaultdict(list, a=[1]),
        'config': ConfigDict(a=dict(b=1)),
        'here': Path('a/b'),
        'windows': PureWindowsPath('c:/a'),
    }
    loaded = read_file(save(content, tmp_path / 'a.pth'))
    assert loaded == content
    assert type(loaded['default']) is type(loaded['config']['a']) is dict
    assert str(loaded['windows']) == 'c:\\a'


def pickled_path(module, name):
    """A file of torch.save that holds a path under the names of some Python."""
    path = b'c%s\n%s\nX\x03\x00\x00\x00a/b\x85R' % (module.encode(), name.encode())
    parts = [pickle.dumps(header, 2) for header in (MAGIC_NUMBER, 1001, {})]
    parts.append(b'\x80\x02}X\x04\x00\x00\x00here' + path + b's.')
    return b''.join([*parts, pickle.dumps([], 2)])


@pytest.mark.parametrize('module', ['pathlib', 'pathlib._local'])
@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('PosixPath', PurePosixPath),
        ('PurePosixPath', PurePosixPath),
        ('WindowsPath', PureWindowsPath),
        ('PureWindowsPath', PureWindowsPath),
    ],
)
def test_paths_are_read_whatever_python_wrote_them(tmp_path, module, name, kind):
    file = tmp_path / 'a.pth'
    file.write_bytes(pickled_path(module, name))
    assert read_file(file) == {'here': kind('a/b')}
    file.write_bytes(pickled_path(module, 'Path'))  # can be anything's method
    with pytest.raises(UnsafeCheckpointError, match=f'`{module}.Path`'):
        read_file(file)


def test_namespace_of_a_training_is_read(tmp_path):
    args = argparse.Namespace(lr=1e-3, output_dir=Path('out'), dist=None, kind=int)
    path = save({'model': {'a': torch.ones(1)}, 'args': args}, tmp_path / 'meta.pth')
    loaded = read_file(path)
    assert loaded['model']['a'] == 1
    assert loaded['args'] == args


def test_state_dict_keeps_its_metadata_and_shared_tensors(tmp_path):
    state = torch.nn.BatchNorm1d(2).state_dict()
    path = save({'a': state, 'b': state['weight']}, tmp_path / 'a.pth')
    loaded = read_file(path)
    assert loaded['a']._metadata == state._metadata
    assert loaded['a']['weight'] is loaded['b']


def test_hooks_and_attributes_of_parameters_are_dropped(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.isfinite = {'not': 'a method'}
    loaded = read_file(save({'a': parameter}, tmp_path / 'a.pth'))['a']
    assert loaded.isfinite().all()
    assert not loaded.requires_grad


def test_content_that_holds_itself(tmp_path):
    content = {'a': torch.ones(1), 'list': []}
    content['list'].append(content)
    loaded = read_file(save(content, tmp_path / 'a.pth'))
    assert loaded['list'][0] is loaded


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth', ''])
def test_format_is_told_by_content(tmp_path, suffix):
    tensors = {'a': torch.arange(3.0), 'b': torch.ones(2, dtype=torch.bfloat16)}
    safe, zipped, legacy = (tmp_path / f'{name}{suffix}' for name in 'abc')
    safetensors.torch.save_file(tensors, safe, metadata={'format': 'pt'})
    torch.save(tensors, zipped)
    torch.save(tensors, legacy, _use_new_zipfile_serialization=False)
    for path in (safe, zipped, legacy):
        assert is_equal(read_file(path), tensors)


@pytest.mark.parametrize('kind', ['safetensors', 'zip', 'legacy'])
def test_file_may_be_overwritten_after_reading(tmp_path, kind):
    path = tmp_path / 'a'
    tensors = {'a': torch.ones(5000)}
    if kind == 'safetensors':
        safetensors.torch.save_file(tensors, path)
    else:
        save(tensors, path, _use_new_zipfile_serialization=kind == 'zip')
    loaded = read_file(path)
    with path.open('r+b') as file:
        file.write(bytes(path.stat().st_size))
    assert loaded['a'].equal(tensors['a'])


@pytest.mark.parametrize('kind', ['safetensors', 'torch'])
def test_map_location(tmp_path, kind):
    path = tmp_path / 'a'
    writer = safetensors.torch.save_file if kind == 'safetensors' else torch.save
    writer({'a': torch.ones(2)}, path)
    for place in ('meta', torch.device('meta'), {'cpu': 'meta'}):
        assert read_file(path, place)['a'].is_meta
    for place in ('cpu', None, {'cuda:0': 'cpu'}, lambda storage, _: storage):
        assert read_file(path, place)['a'].sum() == 2


def test_file_without_checksums(tmp_path):
    if not hasattr(torch.serialization, 'set_crc32_options'):
        pytest.skip('this torch always writes them')
    torch.serialization.set_crc32_options(False)
    try:
        path = save({'a': torch.ones(2)}, tmp_path / 'a.pth')
    finally:
        torch.serialization.set_crc32_options(True)
    assert not any(entry.CRC for entry in zipfile.ZipFile(path).infolist())
    assert read_file(path)['a'].sum() == 2


def packed(content, **kwargs):
    buffer = io.BytesIO()
    torch.save(content, buffer, **kwargs)
    return buffer.getvalue()


def archive(name, data, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', compression) as file:
        file.writestr(name, data)
        file.writestr('a/version', b'3')
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as file:
        file.addfile(tarfile.TarInfo('storages'))
    return buffer.getvalue()


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


STATE = {'weight': torch.full((100,), 7.0)}
ZIP = packed(STATE)
LEGACY = packed(STATE, _use_new_zipfile_serialization=False)
SAFE = safetensors.torch.save(STATE)
VALUES = STATE['weight'].numpy().tobytes()
DEEP = b'\x80\x02' + b']' * 5000 + b'a' * 4999 + b'.'  # a list in a list in a list
# The size in the last directory entry that is not in the file: 2 GB.
DIRECTORY = ZIP.rindex(b'PK\x01\x02')
BAD_FILES = {
    'empty': (b'', 'is empty'),
    'blank': (b'\n \n', 'is empty'),
    'html': (b'<!DOCTYPE html><html>404</html>', 'is a web page, such as an error'),
    'html_upper': ('\n<HTML lang="de">für</HTML>'.encode(), 'is a web page'),
    'xml': (b'<?xml version="1.0"?><Error/>', 'is a web page'),
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid', 'run `git lfs pull`'),
    'json': (b'{"error":{"a": "Entry not found"}}', 'is JSON, not weights'),
    'json_like_header': (b'{"args":{"a": 1}}', 'is JSON, not weights'),
    'text': (b'Invalid username or password.', 'is text, not weights'),
    'gzip': (gzip.compress(ZIP), 'gzip: unpack it'),
    'tar': (tar(), 'is a tar archive'),
    'noise': (bytes(range(256)) * 20, 'seems damaged or cut off'),
    'zip_cut': (ZIP[:-100], 'seems damaged or cut off'),
    'zip_start': (ZIP[:60], 'seems damaged or cut off'),
    'zip_flipped': (flip(ZIP, ZIP.index(VALUES) + 9), 'wrong checksum of'),
    'zip_foreign': (
        archive('a/readme.txt', b'1'),
        'zip archive that torch.save did not write',
    ),
    'zip_bomb': (
        archive('a/data.pkl', bytes(10**6), zipfile.ZIP_DEFLATED),
        'compressed, repeated or declare more than',
    ),
    'zip_oversized': (
        ZIP[: DIRECTORY + 20] + b'\0\0\0\x7f' * 2 + ZIP[DIRECTORY + 28 :],
        'declare more than',
    ),
    'legacy_cut': (LEGACY[:-40], 'storage .* is incomplete'),
    'legacy_start': (LEGACY[: len(LEGACY) // 4], 'seems damaged or cut off'),
    'pickle': (pickle.dumps({'a': 1}, 2), 'not written by torch.save'),
    'safetensors_cut': (SAFE[:-40], 'seems damaged or cut off'),
    'safetensors_header_cut': (SAFE[:20], 'a header of .* in a file of 20'),
    'safetensors_bomb': (struct.pack('<Q', 1 << 40) + b'{"a":1}', 'a header of'),
    'safetensors_forged': (
        struct.pack('<Q', 64)
        + b'{"a":{"dtype":"F32","shape":[99999],"data_offsets":[0,4]}}'.ljust(64)
        + bytes(4),
        'seems damaged or cut off',
    ),
    'protocol': (packed(STATE, pickle_protocol=4), 'pickle_protocol=4.*protocol 2'),
    'tensor': (packed(torch.ones(2)), 'holds a Tensor; expected a dict of tensors'),
    'list': (packed([torch.ones(2)]), 'holds a list; expected a dict of tensors'),
    'sparse': (packed({'a': torch.eye(3).to_sparse()}), 'sparse.*_rebuild_sparse'),
    'meta': (packed({'a': torch.ones(2, device='meta')}), 'without data.*Only dense'),
    'storage': (packed({'a': torch.ones(2).untyped_storage()}), 'asks for `torch'),
    'deep': (archive('a/data.pkl', DEEP), 'maximum recursion depth'),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_bad_file_gets_one_clear_message(tmp_path, name):
    data, expected = BAD_FILES[name]
    path = tmp_path / 'weights.pth'
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=expected) as error:
        read_file(path)
    assert str(error.value).startswith(str(path))
    assert '\n' not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r'nowhere.pth: there is no such file'):
        read_file(tmp_path / 'nowhere.pth')
    with pytest.raises(CheckpointError, match=r'cannot be read: .*directory'):
        read_file(tmp_path)


def forged(storage, *args, version='_rebuild_tensor_v2'):
    extra = (False, collections.OrderedDict())
    return Call(getattr(torch._utils, version), storage, *args, *extra)


HUGE = 10**13
FLOATS = torch.ones(10)._typed_storage()
BYTES = torch.ones(10).untyped_storage()
TOO_LARGE = {
    'size': forged(FLOATS, 0, (HUGE,), (1,)),
    'product': forged(FLOATS, 0, (HUGE, HUGE), (HUGE, 1)),
    'offset': forged(FLOATS, HUGE, (1,), (1,)),
    'stride': forged(FLOATS, 0, (2,), (HUGE,)),
    'negative': forged(FLOATS, 0, (-1,), (1,)),
    'expanded': torch.ones(1).expand(1000),
    'overlapping': torch.ones(10).as_strided((3, 5), (1, 1)),
    'bytes': Call(
        torch._utils._rebuild_tensor_v3,
        *(BYTES, 0, (11,), (1,), False, None, torch.float32),
    ),
    'set': Call(torch.Tensor, HUGE),
    'bytearray': Call(bytearray, HUGE),
    'quantized': Call(torch._utils._rebuild_qtensor, FLOATS, 0, (HUGE,), (1,)),
}


@pytest.mark.parametrize(
    ('name', 'zipped'),
    [(name, True) for name in TOO_LARGE]
    + [(name, False) for name in TOO_LARGE if name != 'bytes'],  # new format only
)
def test_declared_memory_is_refused_before_it_is_made(
    tmp_path, monkeypatch, name, zipped
):
    path = tmp_path / 'a.pth'
    content = {'a': TOO_LARGE[name], 'b': torch.ones(1000)}
    save(content, path, _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr(torch, 'load', lambda *_, **__: pytest.fail('was loaded'))
    with pytest.raises(CheckpointError, match=r'a.pth'):
        read_file(path)


class Forger(pickle.Pickler):
    """Writes storages that the file does not hold."""

    numel = 10

    def persistent_id(self, value):
        if isinstance(value, torch.storage.TypedStorage):
            return 'storage', torch.FloatStorage, '0', 'cpu', self.numel, None
        return None


@pytest.mark.parametrize('numel', [11, HUGE, -1, 2.0])
def test_storage_larger_than_the_file_is_refused(tmp_path, monkeypatch, numel):
    Forger.numel = numel
    content = {'a': forged(FLOATS, 0, (1,), (1,))}
    stream = io.BytesIO()
    for header in (MAGIC_NUMBER, 1001, {}):
        pickle.dump(header, stream, 2)
    Forger(stream, 2).dump(content)
    pickle.dump(['0'], stream, 2)
    stream.write(struct.pack('<q', 10) + bytes(40))
    legacy = tmp_path / 'legacy.pth'
    legacy.write_bytes(stream.getvalue())
    data = io.BytesIO()
    Forger(data, 2).dump(content)
    zipped = tmp_path / 'zipped.pth'
    with zipfile.ZipFile(zipped, 'w') as file:
        file.writestr('a/data.pkl', data.getvalue())
        file.writestr('a/data/0', bytes(40))
        file.writestr('a/version', b'3')
    monkeypatch.setattr(torch, 'load', lambda *_, **__: pytest.fail('was loaded'))
    for path in (legacy, zipped):
        with pytest.raises(CheckpointError, match='storage 0'):
            read_file(path)


@pytest.mark.parametrize(
    'name',
    [
        *('float32', 'float16', 'bfloat16', 'float64', 'complex64'),
        *('float8_e4m3fn', 'float8_e5m2', 'float8_e4m3fnuz', 'float8_e8m0fnu'),
    ],
)
def test_tensors_with_nan_are_named(name):
    dtype = getattr(torch, name)
    state = {'good': torch.ones(2).to(dtype)}
    check_tensors(state, 'a.pth')
    for i in range(4):
        state[f'bad{i}'] = torch.tensor([1.0, float('nan')]).to(dtype)
    with pytest.raises(CheckpointError) as error:
        check_tensors(state, 'a.pth')
    message = str(error.value)
    assert message.startswith('a.pth: 4 of 5 tensors hold NaN or infinite values')
    assert '(bad0, bad1, bad2, ...)' in message
    assert 'diverged' in message


def test_infinite_tensors_are_named():
    with pytest.raises(CheckpointError, match=r'1 of 1 tensors .* \(a\): '):
        check_tensors({'a': torch.tensor([1.0, -torch.inf])}, 'a.pth')


def test_tensors_that_are_always_finite():
    state = {
        'int': torch.ones(2, dtype=torch.int64),
        'bool': torch.tensor([True]),
        'uint16': torch.ones(2, dtype=torch.uint16),
        'empty': torch.ones(0),
        'scalar': torch.tensor(1.0),
    }
    if hasattr(torch, 'float4_e2m1fn_x2'):
        state['float4'] = torch.ones(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    check_tensors(state, 'a.pth')


@pytest.mark.parametrize('value', [None, 1.0, {'a': torch.ones(1)}, np.ones(2)])
def test_state_dict_of_something_else_is_told(value):
    kind = type(value).__name__
    with pytest.raises(CheckpointError, match=f'a.pth: `key` is a {kind}; expected'):
        check_tensors({'good': torch.ones(1), 'key': value}, 'a.pth')
