import importlib
import sys

import numpy as np
import pytest

from convnext_backbone.openmmlab import import_patches


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """A module named slow_module, whose runs are counted in its own file."""
    (tmp_path / 'slow_module.py').write_text(
        'import sys\n'
        "sys.runs = getattr(sys, 'runs', 0) + 1\n"
        'def work(a, b=1): return a + b\n'
        'OTHER = 7\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, 'runs', 0, raising=False)
    monkeypatch.setitem(import_patches._DEFERRED, 'slow_module', ('work',))
    yield
    sys.modules.pop('slow_module', None)


def test_a_deferred_module_runs_when_a_function_is_called(slow_module):
    from slow_module import work

    assert sys.runs == 0
    assert work(2, b=3) == 5
    assert work(1) == 2
    assert sys.runs == 1
    assert sys.modules['slow_module'].OTHER == 7
    assert sys.runs == 1


def test_a_deferred_module_runs_for_any_other_name(slow_module):
    module = importlib.import_module('slow_module')
    assert sys.runs == 0
    assert module.OTHER == 7
    assert sys.runs == 1
    with pytest.raises(AttributeError):
        _ = module.missing
    assert sys.runs == 1


def test_mmdets_name_for_it_still_corrupts_images():
    from mmdet.datasets.transforms import transforms

    image = np.full((64, 64, 3), 128, np.uint8)
    noisy = transforms.corrupt(image, corruption_name='gaussian_noise')
    assert noisy.shape == image.shape
    assert noisy.std() > 1
