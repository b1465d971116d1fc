import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from torch import nn

from convnext_backbone.openmmlab import amp

AMP = ConfigDict(
    type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(type='SGD', lr=1.0)
)


@pytest.mark.parametrize(
    ('has_bf16', 'expected'),
    [(True, 'convnext_backbone.CpuAmpOptimWrapper'), (False, 'OptimWrapper')],
)
def test_amp_without_a_gpu(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(amp, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(amp, 'cpu_has_bf16', lambda: has_bf16)
    resolved = amp.resolve_optim_wrapper(AMP)
    assert resolved == dict(type=expected, optimizer=dict(type='SGD', lr=1.0))
    assert AMP.type == 'AmpOptimWrapper'
    wrapper = build_optim_wrapper(nn.Linear(2, 2), resolved)
    with wrapper.optim_context(nn.Linear(2, 2)):
        assert torch.is_autocast_enabled('cpu') == has_bf16
    assert not torch.is_autocast_enabled('cpu')


def test_amp_on_a_gpu_is_left_alone(monkeypatch):
    monkeypatch.setattr(amp, 'get_device', lambda: 'cuda')
    assert amp.resolve_optim_wrapper(AMP) is AMP


def test_fp32_is_left_alone():
    fp32 = ConfigDict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0))
    assert amp.resolve_optim_wrapper(fp32) is fp32


def test_bf16_steps_keep_fp32_weights():
    model = nn.Linear(4, 1)
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='convnext_backbone.CpuAmpOptimWrapper',
            optimizer=dict(type='SGD', lr=0.1),
        ),
    )
    before = model.weight.clone()
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4))
        assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().mean())
    assert model.weight.dtype == torch.float
    torch.testing.assert_close(model.weight, before - 0.1)
