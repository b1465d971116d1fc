import os
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone.data import make_demo_data

ROOT = Path(__file__).parents[1]


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
