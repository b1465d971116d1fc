import os
from collections.abc import Callable
from pathlib import Path

# Before torch loads OpenMP: threads that spin while they wait hold the cores that the
# other test processes need. Each of these takes its share of the cores.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
WORKERS = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', 1))
os.environ.setdefault('OMP_NUM_THREADS', str(max(1, (os.cpu_count() or 1) // WORKERS)))

import pytest
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from support.paths import ROOT
from yapf.yapflib import yapf_api

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone.demo_scenes import make_demo_data


@pytest.fixture
def data_dir() -> Path:
    """The folder of the real data sets, which no clone brings along."""
    path = os.environ.get('CONVNEXT_TEST_DATA')
    if not path:
        pytest.skip('CONVNEXT_TEST_DATA is not set')
    return Path(path)


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    """A few small demo scenes, anew for each module that asks for them."""
    root = tmp_path_factory.mktemp('demo') / 'data'
    make_demo_data(root, train=4, val=3, size=128)
    return root


@pytest.fixture
def in_root(monkeypatch) -> Path:
    """Run the test in the checkout, where configs/ and tools/ are."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture(scope='session', autouse=True)
def format_configs_once():
    """Format a config's text once: a run does it three times, for up to a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, 'FormatCode', _remember(yapf_api.FormatCode))
        yield


def _remember(function: Callable) -> Callable:
    results = {}

    def call(*args: object, **kwargs: object) -> object:
        key = repr((args, kwargs))
        if key not in results:
            results[key] = function(*args, **kwargs)
        return results[key]

    return call


@pytest.fixture(autouse=True)
def own_globals():
    """Leave nothing of mmengine's behind that the next test would go on with.

    A default scope decides how others' types resolve; a visualizer writes where the
    run that made it did.
    """
    yield
    DefaultScope._instance_dict.clear()
    kinds = [Visualizer]
    for kind in kinds:
        kind._instance_dict.clear()
        kinds += kind.__subclasses__()
