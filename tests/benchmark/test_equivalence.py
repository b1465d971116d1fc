"""Everyone computes the same, and a difference is found."""

import pytest
import torch
from support.small_backbones import contestants, images, kept_samples_of, small
from torch import nn

from convnext_backbone.benchmark.equivalence import check_equivalence
from convnext_backbone.benchmark.peers import OURS, PEERS, Contestant, absence


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('use_grn', [False, True], ids=['v1', 'v2'])
@pytest.mark.parametrize('name', PEERS)
def test_peer_computes_what_ours_does(name, use_grn, with_cp):
    arch = small(use_grn)
    if absence(name, arch, with_cp):
        assert name == 'torchvision' or (name == 'hf' and with_cp)
        return
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, with_cp))
    check_equivalence(ours, [peer], kept_samples, images())


@pytest.mark.parametrize('use_grn', [False, True], ids=['v1', 'v2'])
@pytest.mark.parametrize('level', ['selective', 'hidden', True])
def test_levels_of_checkpointing_compute_the_same(level, use_grn):
    arch = small(use_grn)
    kept_samples = kept_samples_of(arch)
    ours, other = contestants(arch, kept_samples, (OURS, False), (OURS, level))
    check_equivalence(ours, [other], kept_samples, images())


@pytest.mark.parametrize('name', PEERS)
def test_one_wrong_weight_is_found(name):
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, False))
    with torch.no_grad():
        peer.params['stages.2.1.gamma'].view(-1)[3] *= 1.01
    with pytest.raises(ValueError, match=f'{name} does not compute .* map 2 differs'):
        check_equivalence(ours, [peer], kept_samples, images())


class TwiceTheGradient(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x):
        return tuple(out + (out - out.detach()) for out in self.body(x))


def test_a_wrong_gradient_is_found():
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), ('meta', False))
    wrong = Contestant('meta', TwiceTheGradient(peer.module), peer.params)
    with pytest.raises(ValueError, match=r'meta .* the gradient of .* differs by 1.0e'):
        check_equivalence(ours, [wrong], kept_samples, images())
