import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import CheckpointLoader, Runner, checkpoint, load_checkpoint
from mmengine.utils import dl_utils
from support.paths import ROOT
from torch import nn

from convnext_backbone.checkpoints import sources
from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.checkpoints.safe_reading import reading
from convnext_backbone.checkpoints.safe_reading.reading import read_file
from convnext_backbone.openmmlab import safe_loading
from convnext_backbone.openmmlab.runner import Runner as OurRunner


class Touch:
    """Pickled as a call that creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.linear(torch.stack(inputs)).square().mean()}


class Best(Hook):
    """Leaves what an evaluation leaves in the message hub: scalars of numpy."""

    def before_train(self, runner):
        runner.message_hub.update_info('best', {'mAP': np.float64(0.5), 'at': (1, 2)})
        runner.message_hub.update_info('array', np.arange(3))


def build_runner(work_dir, kind=Runner, **kwargs):
    settings = dict(
        train_dataloader=dict(
            dataset=[{'inputs': torch.ones(2) * i} for i in range(4)],
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=2),
            dict(type='CosineAnnealingLR', T_max=2, by_epoch=True),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', interval=1),
        ),
        custom_hooks=[dict(type='EMAHook'), Best()],
        experiment_name=str(work_dir),  # names what mmengine keeps for the process
        log_level='WARNING',
    )
    return kind(Model(), str(work_dir), **{**settings, **kwargs})


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The checkpoint of one epoch of training, two iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    build_runner(work_dir).train()
    return work_dir / 'epoch_1.pth'


@pytest.fixture
def weights(tmp_path):
    return save(Model().state_dict(), tmp_path / 'weights.pth')


def save(content, path):
    torch.save(content, path)
    return path


@pytest.fixture
def evil(tmp_path):
    content = {'state_dict': {'a': torch.ones(1)}, 'meta': Touch(tmp_path / 'marker')}
    return save(content, tmp_path / 'evil.pth')


def assert_refused(evil, load):
    with pytest.raises(UnsafeCheckpointError, match='asks for'):
        load()
    assert not (evil.parent / 'marker').exists()


def assert_equal(a, b):
    if isinstance(a, (torch.Tensor, np.ndarray)):
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()
    elif isinstance(a, HistoryBuffer):
        assert a.max_length == b.max_length
        assert_equal(a.data, b.data)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_equal(left, right)
    else:
        assert type(a) is type(b)
        assert a == b


def test_checkpoint_of_mmengine_is_read_in_full(trained):
    expected = torch.load(trained, weights_only=False)
    loaded = read_file(trained)
    assert_equal(loaded, expected)
    assert loaded['meta']['epoch'] == 1
    assert loaded['meta']['iter'] == 2
    assert loaded['optimizer']['state']
    assert loaded['param_schedulers']
    assert loaded['ema_state_dict']
    hub = loaded['message_hub']
    assert hub['runtime_info']['best'] == {'mAP': 0.5, 'at': (1, 2)}
    buffer = hub['log_scalars']['train/loss']
    assert len(buffer.data[0]) == 2
    assert buffer.statistics('mean', 1) == expected['message_hub']['log_scalars'][
        'train/loss'
    ].statistics('mean', 1)


def test_resume_goes_on_where_training_ended(trained, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(
        checkpoint, 'print_log', lambda message, **_: logged.append(message)
    )
    runner = build_runner(
        tmp_path,
        load_from=str(trained),
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=2),
    )
    runner.train()
    assert runner.iter == 4
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 4
    step = runner.optim_wrapper.state_dict()['state'][0]['step']
    assert step == 4
    assert any(str(trained) in message for message in logged)
    assert not any('alling back' in message for message in logged)


def test_code_in_the_message_hub_is_not_run(trained, tmp_path):
    content = torch.load(trained, weights_only=False)
    content['message_hub']['runtime_info']['x'] = Touch(tmp_path / 'marker')
    evil = save(content, tmp_path / 'evil.pth')
    assert_refused(evil, lambda: read_file(evil))
    runner = build_runner(tmp_path / 'work', load_from=str(evil), resume=True)
    assert_refused(evil, runner.train)


class Zeroed(Hook):
    """Puts other weights into a checkpoint, as mmengine lets a hook do."""

    def after_load_checkpoint(self, runner, checkpoint):
        state = checkpoint['state_dict']
        checkpoint['state_dict'] = {k: torch.zeros_like(v) for k, v in state.items()}


def test_hooks_may_replace_the_weights_that_are_resumed(trained, tmp_path):
    settings = dict(kind=OurRunner, load_from=str(trained), resume=True)
    runner = build_runner(tmp_path, custom_hooks=[Zeroed()], **settings)
    content = runner.load_checkpoint(str(trained))
    assert content['meta']['iter'] == runner.resumed_iter == 2
    assert not any(weight.any() for weight in runner.model.state_dict().values())


def loaders():
    return {
        'load_checkpoint': lambda path: load_checkpoint(nn.Linear(1, 1), path),
        '_load_checkpoint': checkpoint._load_checkpoint,
        'CheckpointLoader': CheckpointLoader.load_checkpoint,
        'prefix': lambda path: checkpoint._load_checkpoint_with_prefix('a', path),
        'scheme': lambda path: CheckpointLoader._schemes[''](path, 'cpu'),
        'local': lambda path: checkpoint.load_from_local(path, map_location=None),
        'PretrainedInit': lambda path: BaseModule(
            dict(type='Pretrained', checkpoint=path)
        ).init_weights(),
        'load_from': lambda path: build_runner(
            Path(path).parent / 'work', load_from=path
        ).train(),
        'Inferencer': lambda path: BaseInferencer._init_model(None, Config(), path),
    }


@pytest.mark.parametrize('name', loaders())
def test_every_way_in_is_guarded(evil, name):
    assert_refused(evil, lambda: loaders()[name](str(evil)))


def test_weights_reach_the_model(weights):
    model = Model()
    loaded = load_checkpoint(model, str(weights), strict=True)
    assert_equal(loaded, read_file(weights))
    assert model.linear.weight.equal(loaded['linear.weight'])


def test_errors_of_reading_pass_unchanged(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'<!doctype html>')
    with pytest.raises(CheckpointError) as expected:
        read_file(path)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(Model(), str(path))
    assert str(error.value) == str(expected.value)


def test_missing_file_is_mmengines_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        load_checkpoint(Model(), str(tmp_path / 'nowhere.pth'))


def test_map_location_is_honoured(weights):
    for place in ('meta', torch.device('meta'), {'cpu': 'meta'}):
        state = CheckpointLoader.load_checkpoint(str(weights), place)
        assert state['linear.weight'].is_meta
    assert not CheckpointLoader.load_checkpoint(str(weights))['linear.weight'].is_meta


def test_trusted_files_load(evil, monkeypatch):
    monkeypatch.setattr(reading, '_trusted', False)
    reading.trust()
    assert checkpoint._load_checkpoint(str(evil))['state_dict']['a'] == 1
    assert (evil.parent / 'marker').exists()


REMOTE = [
    *('http://host/a.pth', 'https://host/a.pth', 'hf://org/name', 'timm://convnext'),
    *('meta://convnext', 'torchvision://resnet18', 'open-mmlab://vgg16_caffe'),
    *('openmmlab://mine', 'mmcls://convnext_tiny', 'modelzoo://resnet18'),
]


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """Serves the file of the test for every source; lists them."""
    wanted = []

    def serve(path):
        def fetch(source, sha256=None):
            wanted.append(str(source))
            return path

        monkeypatch.setattr(sources, 'fetch', fetch)
        urls = {'mine': 'https://host/mine.pth', 'local': str(path)}
        (tmp_path / 'open_mmlab.json').write_text(json.dumps(urls))
        monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
        monkeypatch.setattr(
            checkpoint, 'get_mmcls_models', lambda: {'convnext_tiny': 'https://host/b'}
        )
        return wanted

    return serve


@pytest.mark.parametrize('source', REMOTE)
def test_remote_sources_are_fetched_and_read(weights, evil, fetched, source):
    wanted = fetched(weights)
    state = checkpoint._load_checkpoint(source, map_location='meta')
    assert len(wanted) == 1
    assert wanted[0] == source or wanted[0].startswith('https://')
    if not source.startswith('mmcls'):  # which keeps the weights of the backbone
        assert state['linear.weight'].is_meta
    fetched(evil)
    assert_refused(evil, lambda: checkpoint._load_checkpoint(source))


def test_downloaded_zoo_file_is_read(evil, fetched):
    fetched(evil)
    assert_refused(evil, lambda: checkpoint._load_checkpoint('openmmlab://local'))


def test_bytes_of_ceph_are_read(weights, evil, monkeypatch):
    backend = SimpleNamespace(
        get=lambda name: Path(name.removeprefix('s3:/')).read_bytes()
    )
    monkeypatch.setattr(checkpoint, 'get_file_backend', lambda *_, **__: backend)
    assert_equal(checkpoint._load_checkpoint(f's3:/{weights}'), read_file(weights))
    assert_refused(evil, lambda: checkpoint._load_checkpoint(f's3:/{evil}'))


def test_pavi_files_are_read(evil, monkeypatch):
    download = lambda path: Path(path).write_bytes(evil.read_bytes())  # noqa: E731
    pavi = ModuleType('pavi')
    pavi.modelcloud = SimpleNamespace(
        get=lambda path: SimpleNamespace(name='a.pth', download=download)
    )
    monkeypatch.setitem(sys.modules, 'pavi', pavi)
    assert_refused(evil, lambda: checkpoint._load_checkpoint('pavi://a.pth'))


def test_load_url_is_guarded_everywhere(weights, evil, fetched):
    for load_url in (dl_utils.load_url, dl_utils.hub.load_url, checkpoint.load_url):
        fetched(weights)
        state = load_url('https://host/a.pth', None, 'meta', progress=False)
        assert state['linear.weight'].is_meta
        fetched(evil)
        assert_refused(evil, lambda load=load_url: load('https://host/a.pth'))


def test_damaged_download_is_discarded(tmp_path, fetched, evil, monkeypatch):
    discarded = []
    monkeypatch.setattr(sources, 'discard', discarded.append)
    damaged = tmp_path / 'damaged.pth'
    damaged.write_bytes(b'<!doctype html>')
    fetched(damaged)
    with pytest.raises(CheckpointError, match='web page'):
        checkpoint._load_checkpoint('https://host/a.pth')
    assert discarded == [damaged]
    fetched(evil)
    with pytest.raises(UnsafeCheckpointError):
        checkpoint._load_checkpoint('https://host/a.pth')
    assert discarded == [damaged]


def test_loaders_of_the_user_stay(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    for prefix in ('mine://', 'timm://'):
        CheckpointLoader.register_scheme(prefix, lambda name, place: {'mine': name})
        assert checkpoint._load_checkpoint(f'{prefix}a') == {'mine': f'{prefix}a'}


ORIGINAL = """
import torch
from mmengine.utils.dl_utils import load_url

class CheckpointLoader:
    _schemes = {}

def load_from_local(filename, map_location):
    return torch.load(filename, map_location=map_location)

def load_from_elsewhere(filename, map_location=None):
    with open(filename, 'rb') as file:
        return torch.load(file, map_location, weights_only=False)

CheckpointLoader._schemes.update({'': load_from_local, 'a://': load_from_elsewhere})
"""


def test_mmengine_that_calls_torch_load_is_guarded(weights, evil, monkeypatch):
    module = ModuleType('mmengine.runner.checkpoint')
    exec(ORIGINAL, vars(module))
    custom = module.CheckpointLoader._schemes['b://'] = object()
    safe_loading._patch_checkpoint(module)
    for load in (*module.CheckpointLoader._schemes.values(), module.load_from_local):
        if load is not custom:
            assert_equal(load(str(weights), None), read_file(weights))
            assert load(str(weights), 'meta')['linear.weight'].is_meta
            assert_refused(evil, lambda load=load: load(str(evil), None))
    assert custom in module.CheckpointLoader._schemes.values()
    assert module.torch.load is not torch.load
    assert module.torch.distributed is torch.distributed


def test_old_load_url_is_replaced_where_it_was_imported(monkeypatch):
    hub, user = ModuleType('hub'), ModuleType('user')
    hub.load_url = user.load_url = object()
    monkeypatch.setitem(sys.modules, 'mmengine.utils.dl_utils.hub', hub)
    monkeypatch.setitem(sys.modules, 'mmseg.user', user)
    safe_loading._patch_hub(hub)
    assert hub.load_url is user.load_url is safe_loading._load_url


LOAD = """
import sys
from mmengine.runner import CheckpointLoader, checkpoint, load_checkpoint
from mmengine.utils.dl_utils import load_url
from torch import nn

evil, weights = sys.argv[1:]
for load in (
    checkpoint._load_checkpoint,
    CheckpointLoader.load_checkpoint,
    lambda path: load_checkpoint(nn.Linear(1, 1), path),
    lambda path: checkpoint.load_from_local(path, None),
):
    load(weights)
    try:
        load(evil)
    except ValueError as error:
        print(type(error).__name__)
print(load_url.__module__, checkpoint.load_url.__module__)
"""
FIRST = """
import importlib, inspect, sys
from convnext_backbone.openmmlab import import_patches
from convnext_backbone.openmmlab import safe_loading

assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)  # it stays cheap
safe_loading.install()
assert sys.meta_path.count(import_patches.PatchFinder) == 1
assert sys.meta_path[0] is import_patches.PatchFinder
importlib.invalidate_caches()
from mmengine.runner import checkpoint

assert checkpoint.__spec__.origin == checkpoint.__file__
assert type(checkpoint.__loader__).__name__ == 'SourceFileLoader'
assert 'class CheckpointLoader' in inspect.getsource(checkpoint)
assert 'can not be found' in inspect.getsource(checkpoint.load_from_local)
"""
LAST = 'import mmengine.runner, convnext_backbone'


def run_python(code, *args):
    result = subprocess.run(
        [sys.executable, '-c', code, *map(str, args)],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.mark.parametrize('imports', [FIRST, LAST], ids=['first', 'last'])
def test_plugin_guards_whenever_it_is_imported(weights, evil, imports):
    output = run_python(f'{imports}\n{LOAD}', evil, weights)
    assert output.count('UnsafeCheckpointError') == 4
    assert output.count('convnext_backbone.openmmlab.safe_loading') == 2
    assert 'alling back' not in output
    assert not (evil.parent / 'marker').exists()


@pytest.mark.parametrize('name', ['torch', 'load_url', 'load_from_local'])
def test_mmengines_loaders_end_in_what_is_replaced(name):
    assert hasattr(checkpoint, name), (
        f'mmengine.runner.checkpoint.{name} is gone, which {safe_loading.__name__} '
        f'replaces: find where mmengine reads checkpoint files now'
    )


def test_mmengine_downloads_with_what_is_replaced():
    assert hasattr(dl_utils.hub, 'load_url'), (
        f'mmengine.utils.dl_utils.hub.load_url is gone, which {safe_loading.__name__} '
        f'replaces: find where mmengine downloads checkpoints now'
    )
