"""Every private name that we use of OpenMMLab's packages is still there.

A test that fails here after an update of mmengine, mmcv, mmdet or mmseg names what is
gone; ``convnext_backbone/openmmlab/compat.py`` is the place to follow it.
"""

import inspect
from typing import ClassVar

import pytest
import torch
from mmdet.evaluation.metrics import CocoMetric
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import get_object_from_string
from mmseg.models import SegDataPreProcessor

from convnext_backbone.openmmlab import compat


@pytest.mark.parametrize(
    ('owner', 'name'),
    [(owner, name) for owner, names in compat.OVERRIDDEN.items() for name in names],
)
def test_what_is_overridden_is_there(owner, name):
    kind = get_object_from_string(owner)
    assert callable(getattr(kind, name, None)), f'{owner} has no {name} any more'


@pytest.mark.parametrize(
    'name', ['_log_dir', '_resume', '_load_from', '_has_loaded', '_train_loop']
)
def test_the_runner_sets_what_we_read(name):
    source = inspect.getsource(Runner)
    assert f'self.{name}' in source, f'mmengine.runner.Runner has no {name} any more'


def test_metrics_and_optimizers_set_what_we_read():
    for kind, name in (
        (CocoMetric, '_coco_api'),
        (OptimWrapper, '_accumulative_counts'),
    ):
        assert f'self.{name}' in inspect.getsource(kind), (
            f'{kind} has no {name} any more'
        )


class Numbers(torch.utils.data.Dataset):
    metainfo: ClassVar = dict(classes=('a',))

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index

    def full_init(self):
        pass

    def get_cat_ids(self, index):
        return [0]


def test_wrappers_tell_where_a_sample_comes_from():
    numbers = Numbers()
    repeated = RepeatDataset.__new__(RepeatDataset)  # takes mmengine's data sets only
    repeated._ori_len, repeated._fully_initialized = 3, True
    assert compat.original_index(repeated, 4) == 1
    joined = ConcatDataset.__new__(ConcatDataset)
    torch.utils.data.ConcatDataset.__init__(joined, [numbers, numbers])
    joined._fully_initialized = True
    assert compat.original_index(joined, 4) == (1, 1)
    assert compat.original_index(numbers, 2) == 2
    assert hasattr(ClassBalancedDataset, '_get_ori_dataset_idx')


@pytest.mark.parametrize('kind', [DetDataPreprocessor, SegDataPreProcessor])
def test_preprocessors_tell_what_they_do(kind):
    plain = kind()
    assert not compat.swaps_channels(plain)
    assert not compat.normalises(plain)
    full = kind(mean=[1.0] * 3, std=[2.0] * 3, bgr_to_rgb=True)
    assert compat.swaps_channels(full)
    assert compat.normalises(full)


def test_the_loader_has_a_scheme_for_local_files():
    assert '' in compat.loader_schemes(CheckpointLoader)


def test_global_instances_come_back():
    kept = MMLogger.get_instance('kept', logger_name='kept')
    with compat.mmengine_globals_restored():
        MMLogger.get_instance('new', logger_name='new')
        DefaultScope.get_instance('new', scope_name='mmdet')
        assert MMLogger.check_instance_created('new')
    assert MMLogger.get_instance('kept') is kept
    assert not MMLogger.check_instance_created('new')
    assert not DefaultScope.check_instance_created('new')
