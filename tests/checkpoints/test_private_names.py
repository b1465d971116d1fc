"""What the reader uses of other packages' insides is still there, as it was."""

import _compat_pickle
import inspect
import io
import pickle
import zipfile

import pytest
import torch
from huggingface_hub import constants, errors
from mmengine.logging import HistoryBuffer
from torch import serialization

from convnext_backbone.checkpoints.safe_reading import inspection, stand_ins


def require(holder: object, name: str, user: str) -> object:
    """Return an attribute, or fail and say who uses it."""
    if not hasattr(holder, name):
        where = getattr(holder, '__name__', type(holder).__name__)
        pytest.fail(f'{where}.{name} is gone, which {user} uses')
    return getattr(holder, name)


def test_the_unpickler_in_python_can_be_overridden():
    unpickler = require(pickle, '_Unpickler', inspection.__name__)
    seen = []

    class Probe(unpickler):
        def find_class(self, module, name):
            seen.append(f'{module}.{name}')
            return dict

        def persistent_load(self, pid):
            seen.append(pid)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return 'storage' if value is torch.float32 else None

    stream = io.BytesIO()
    Pickler(stream, 2).dump([range, torch.float32])
    probe = Probe(io.BytesIO(stream.getvalue()), encoding='utf-8')
    probe.load()
    assert seen == ['__builtin__.xrange', 'storage'], (
        f'pickle._Unpickler no longer asks find_class and persistent_load, which '
        f'{inspection.__name__} overrides'
    )
    assert require(probe, 'proto', inspection.__name__) == 2


def test_names_of_python_2_are_mapped():
    modules = require(_compat_pickle, 'IMPORT_MAPPING', inspection.__name__)
    names = require(_compat_pickle, 'NAME_MAPPING', inspection.__name__)
    assert modules['__builtin__'] == 'builtins'
    assert names['__builtin__', 'xrange'] == ('builtins', 'range')


@pytest.mark.parametrize(
    'name', ['get_safe_globals', 'clear_safe_globals', 'add_safe_globals']
)
def test_torch_can_be_told_which_classes_are_safe(name):
    assert callable(require(serialization, name, stand_ins.__name__))


def test_files_before_torch_1_6_begin_with_the_magic_number():
    magic = require(serialization, 'MAGIC_NUMBER', inspection.__name__)
    stream = io.BytesIO()
    torch.save({}, stream, _use_new_zipfile_serialization=False)
    stream.seek(0)
    assert pickle.load(stream) == magic


@pytest.mark.parametrize(
    'name',
    sorted(
        name
        for name in {*inspection._CHECKED, *stand_ins.LISTED}
        if name.startswith('torch.')
    ),
)
def test_what_a_file_of_torch_asks_for_has_this_name(name):
    module, _, kind = name.rpartition('.')
    holder = torch
    for part in module.split('.')[1:]:
        holder = require(holder, part, inspection.__name__)
    require(holder, kind, inspection.__name__)


@pytest.mark.parametrize('name', ['_rebuild_tensor_v2', '_rebuild_tensor_v3'])
def test_tensors_are_made_of_these_arguments(name):
    make = require(torch._utils, name, inspection.__name__)
    first = list(inspect.signature(make).parameters)[:4]
    assert first == ['storage', 'storage_offset', 'size', 'stride'], (
        f'torch._utils.{name} takes other arguments than {inspection.__name__} checks'
    )
    if name.endswith('v3'):
        names = list(inspect.signature(make).parameters)
        assert names[6] == 'dtype', 'the dtype stands elsewhere'


def test_a_tensor_asks_for_a_storage_of_five_parts():
    stream = io.BytesIO()
    torch.save({'a': torch.ones(3)}, stream)
    with zipfile.ZipFile(stream) as archive:
        name = next(n for n in archive.namelist() if n.endswith('/data.pkl'))
        data = io.BytesIO(archive.read(name))
    asked = []

    class Probe(pickle._Unpickler):
        def find_class(self, module, name):
            return lambda *args: None

        def persistent_load(self, pid):
            asked.append(pid)

    Probe(data).load()
    ((kind, _, key, place, numel),) = asked
    assert (kind, key, place, numel) == ('storage', '0', 'cpu', 3)


def test_state_dicts_keep_their_metadata():
    state = torch.nn.Linear(1, 1).state_dict()
    assert '' in require(state, '_metadata', stand_ins.__name__)


def test_history_buffers_have_the_state_that_is_copied():
    state = HistoryBuffer([1.0], [1]).__getstate__()
    missing = {'_log_history', '_count_history', 'max_length'} - state.keys()
    assert not missing, (
        f'HistoryBuffer lacks {missing}, which {stand_ins.__name__} copies'
    )
    methods = require(HistoryBuffer, '_statistics_methods', stand_ins.__name__)
    HistoryBuffer([1.0], [1])  # the first registers its methods
    assert set(stand_ins.STATISTICS) == set(methods)


@pytest.mark.parametrize('name', ['HF_HUB_CACHE', 'ENDPOINT'])
def test_the_hub_keeps_its_settings_here(name):
    require(constants, name, 'convnext_backbone.checkpoints.hub')


def test_errors_of_the_hubs_transport_are_those_it_raises():
    kind = require(errors, 'HTTPError', 'convnext_backbone.checkpoints.hub')
    assert issubclass(errors.HfHubHTTPError, kind)
