"""What is used of mmengine's insides to load checkpoints is still there."""

import inspect

import pytest
from mmengine.runner import Runner, checkpoint
from mmengine.utils.dl_utils import hub

from convnext_backbone.openmmlab import runner as our_runner
from convnext_backbone.openmmlab import safe_loading


@pytest.mark.parametrize('name', ['torch', 'load_url', 'load_from_local'])
def test_mmengines_loaders_end_in_what_is_replaced(name):
    assert hasattr(checkpoint, name), (
        f'mmengine.runner.checkpoint.{name} is gone, which {safe_loading.__name__} '
        f'replaces: find where mmengine reads checkpoint files now'
    )


def test_mmengine_downloads_with_what_is_replaced():
    assert hasattr(hub, 'load_url'), (
        f'mmengine.utils.dl_utils.hub.load_url is gone, which {safe_loading.__name__} '
        f'replaces: find where mmengine downloads checkpoints now'
    )


def test_loaders_are_registered_by_scheme():
    schemes = getattr(checkpoint.CheckpointLoader, '_schemes', None)
    assert schemes and '' in schemes, (
        f'CheckpointLoader._schemes is gone, in which {safe_loading.__name__} replaces '
        f'the loader of local files'
    )


@pytest.mark.parametrize('name', ['_resume', '_load_from', '_has_loaded'])
def test_the_runner_keeps_what_it_starts_from_here(name):
    assert f'self.{name} = ' in inspect.getsource(Runner.__init__), (
        f"mmengine's Runner does not set {name}, which {our_runner.__name__} uses"
    )


def test_the_runner_initialises_weights_here():
    assert 'self._init_model_weights()' in inspect.getsource(Runner.train), (
        f"mmengine's Runner.train does not call _init_model_weights, which "
        f'{our_runner.__name__} overrides'
    )
