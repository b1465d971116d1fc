"""Everyone drops the same samples."""

import pytest
import torch
from support.small_backbones import contestants, images, kept_samples_of, small
from torch import nn

from convnext_backbone.benchmark.equivalence import check_equivalence
from convnext_backbone.benchmark.peers import OURS, PEERS
from convnext_backbone.benchmark.shared_drop_path import KeptSamples, replace_drop_path


@pytest.mark.parametrize('name', PEERS)
def test_everyone_drops_the_same_samples(name):
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, False))
    x = torch.randn(4, 3, 32, 32)
    dropped = 0
    for seed in range(4):
        outs, states = [], []
        for one in (ours, peer):
            one.module.train()
            one.seed(seed, kept_samples, len(x))
            outs.append(one.module(x))
            states.append(torch.get_rng_state())
        dropped += sum(int((~kept).sum()) for kept in kept_samples.kept[1:])
        for a, b in zip(*outs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        # What comes after the backbone draws the same too.
        assert torch.equal(*states)
    assert dropped > 8


def test_other_samples_are_found():
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), ('timm', False))
    for module in peer.module.modules():
        if hasattr(module, 'kept_samples'):
            module.kept_samples = kept_samples_of(arch)
            module.kept_samples.kept = [torch.zeros(2, dtype=torch.bool)] * 5
    with pytest.raises(ValueError, match=r'timm .* in training map'):
        check_equivalence(ours, [peer], kept_samples, images())


def test_a_library_that_drops_paths_elsewhere_is_refused():
    with pytest.raises(ValueError, match='0 blocks with drop path, expected 4'):
        replace_drop_path(
            nn.Sequential(nn.Linear(2, 2)), KeptSamples(0.5, 5), divides=False
        )
