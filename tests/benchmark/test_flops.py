"""FLOPs of the backbone against PyTorch's counter."""

import pytest
import torch
from support.small_backbones import contestants, small
from torch.utils.flop_counter import FlopCounterMode

from convnext_backbone.benchmark import flops
from convnext_backbone.benchmark.shared_drop_path import KeptSamples


def test_flops_are_those_that_torch_counts():
    arch = small()
    kept_samples = KeptSamples(0.0, sum(arch.depths))
    (meta,) = contestants(arch, kept_samples, ('meta', False))
    with FlopCounterMode(display=False) as forward:
        outs = meta.module(torch.randn(2, 3, 64, 96))
    expected = flops.forward_flops(arch, 2, (64, 96))
    assert expected == forward.get_total_flops()
    with FlopCounterMode(display=False) as stem:
        meta.module.downsample_layers[0][0](torch.randn(2, 3, 64, 96))
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(outs, [torch.ones_like(out) for out in outs])
    counts = [c.get_flop_counts()['Global'] for c in (forward, backward)]
    assert counts[1][torch.ops.aten.mm] == 2 * counts[0][torch.ops.aten.addmm]
    # Of depthwise convolutions torch counts C times the gradient of the weights.
    step = 3 * forward.get_total_flops() - stem.get_total_flops()
    assert flops.step_flops(arch, 2, (64, 96)) == step


def test_flops_of_dropped_samples_do_not_count():
    arch = small()
    first = flops.forward_flops(arch, 1, (64, 64), 0.5)
    second = flops.forward_flops(arch, 1, (64, 64), 0.8)
    none = flops.forward_flops(arch, 1, (64, 64))
    assert 0 < second < first < none
    assert (none - second) / (none - first) == pytest.approx(0.8 / 0.5)
