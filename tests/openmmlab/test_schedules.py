"""Warnings about schedules, and learning rates that follow the batch size."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.utils.data import DataLoader

from convnext_backbone.openmmlab.runner import Runner
from convnext_backbone.openmmlab.schedules import long_warm_ups


@pytest.mark.parametrize(
    ('scheduler', 'told'),
    [
        (dict(type='LinearLR', by_epoch=False, end=1001), 'until iteration 1001, but'),
        (dict(type='LinearLR', by_epoch=True, end=11), 'until epoch 11, but the'),
        (
            dict(type='mmengine.QuadraticWarmupLR', by_epoch=False, end=1500),
            'Quadratic',
        ),
        (dict(type='ConstantLR', factor=0.1, end=12), 'ends at epoch 10'),
        (dict(type='LinearLR', start_factor=0.01, by_epoch=False), 'without an end'),
    ],
)
def test_a_warm_up_longer_than_the_training_is_told(scheduler, told):
    (warning,) = long_warm_ups([scheduler], max_iters=1000, max_epochs=10)
    assert told in warning
    assert 'does not come to its full value' in warning


@pytest.mark.parametrize(
    'scheduler',
    [
        dict(type='LinearLR', by_epoch=False, end=1000),
        dict(type='LinearLR', start_factor=1.0, end_factor=0.1, end=40),  # a decay
        dict(type='ConstantLR', factor=1.0),
        dict(type='CosineAnnealingLR', end=40, T_max=40),
        dict(type='PolyLR', by_epoch=False, end=160_000),
    ],
)
def test_other_schedules_are_left_alone(scheduler):
    assert not long_warm_ups([scheduler], max_iters=1000, max_epochs=10)


def test_a_length_that_is_not_known_tells_nothing():
    warm_up = dict(type='LinearLR', by_epoch=False, end=500)
    assert not long_warm_ups([warm_up], max_iters=None, max_epochs=1)
    assert not long_warm_ups(
        [{**warm_up, 'by_epoch': True}], max_iters=9, max_epochs=None
    )


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(1, 1)

    def forward(self, inputs, mode='loss'):
        return {'loss': self.weight(inputs).mean()}


def run(tmp_path, batch: int, accumulated: int, **more) -> Runner:
    """Train one epoch of 8 images with a learning rate of 1."""
    runner = Runner(
        model=Line(),
        work_dir=str(tmp_path),
        train_dataloader=DataLoader([{'inputs': torch.ones(1)}] * 8, batch_size=batch),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=1.0), accumulative_counts=accumulated
        ),
        experiment_name=f'{tmp_path.name}_{batch}_{accumulated}',
        **more,
    )
    runner.train()
    return runner


@pytest.mark.parametrize(
    ('batch', 'accumulated', 'base', 'rate'),
    [(2, 4, 8, 1.0), (4, 2, 16, 0.5), (2, 1, 8, 0.25), (1, 8, 4, 2.0)],
)
def test_accumulated_batches_count_for_the_learning_rate(
    tmp_path, batch, accumulated, base, rate
):
    scaled = dict(enable=True, base_batch_size=base)
    runner = run(tmp_path, batch, accumulated, auto_scale_lr=scaled)
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(rate)]


def test_learning_rates_are_scaled_only_if_asked_for(tmp_path):
    scaled = dict(enable=False, base_batch_size=8)
    runner = run(tmp_path, 2, 4, auto_scale_lr=scaled)
    assert runner.optim_wrapper.get_lr()['lr'] == [1.0]


def test_each_of_several_optimizers_has_a_batch_of_its_own(tmp_path):
    runner = run(tmp_path, 2, 1)

    def wrapper(accumulated: int) -> OptimWrapper:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
        return OptimWrapper(optimizer, accumulative_counts=accumulated)

    both = OptimWrapperDict(a=wrapper(1), b=wrapper(4))
    runner.param_schedulers = None
    runner.scale_lr(both, dict(enable=True, base_batch_size=8))
    assert both.get_lr() == {'a.lr': [0.25], 'b.lr': [1.0]}


def test_training_warns_of_a_long_warm_up(tmp_path):
    warm_up = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500)
    run(tmp_path, 2, 1, param_scheduler=[warm_up])
    (log,) = tmp_path.glob('*/*.log')
    assert (
        'until iteration 500, but the training ends at iteration 4' in log.read_text()
    )
