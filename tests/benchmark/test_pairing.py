"""Who takes part, and who is compared with whom."""

import importlib.util

from support.small_backbones import small

from convnext_backbone.benchmark.pairing import entrants, pairs
from convnext_backbone.benchmark.peers import OURS, absence


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


def test_a_package_that_is_missing_is_told(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'timm' else real(name, *rest),
    )
    assert absence('timm', small()) == 'not installed'
    assert absence('meta', small()) is None
