"""Who takes part, and who is compared with whom."""

import importlib.util

import pytest
from support.small_backbones import small
from torch import nn

from convnext_backbone.benchmark.pairing import entrants, pairs
from convnext_backbone.benchmark.peers import OURS, PEERS, Peer, absence, build
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.foundation.errors import UserError


def test_peers_with_full_checkpointing_compare_with_ours_of_that_level():
    keys, absent = entrants(small(), ['meta', 'hf'], [False, 'hidden', True])
    assert pairs(keys) == [
        ((OURS, False), ('meta', False)),
        ((OURS, False), ('hf', False)),
        ((OURS, 'hidden'), ('meta', False)),
        ((OURS, 'hidden'), ('hf', False)),
        ((OURS, True), ('meta', True)),
    ]
    assert [(gone.peer, gone.with_cp) for gone in absent] == [('hf', True)]


def test_parameters_of_a_peer_that_have_no_name_of_ours_are_told(monkeypatch):
    peer = Peer(lambda arch, kept_samples, with_cp: (nn.Linear(1, 1), {}.get))
    monkeypatch.setitem(PEERS, 'odd', peer)
    with pytest.raises(UserError, match='odd: bias, odd: weight exist in only one'):
        build('odd', small(), KeptSamples(0.0, 4), {})


def test_a_package_that_is_missing_is_told(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'timm' else real(name, *rest),
    )
    assert absence('timm', small()) == 'not installed'
    assert absence('meta', small()) is None
