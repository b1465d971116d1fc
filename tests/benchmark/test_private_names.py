"""What the benchmark uses of other packages without their promise that it stays.

A failure here names the module of ours that has to follow the other package.
"""

import importlib

import pytest
from torch import nn

from convnext_backbone.benchmark.peers import PEERS
from convnext_backbone.benchmark.shared_drop_path import PEER_CLASSES


@pytest.mark.parametrize('peer', PEERS)
def test_the_modules_that_a_peer_needs_exist(peer):
    for module in PEERS[peer].imports:
        assert importlib.util.find_spec(module), (
            f'{module} does not exist any more: PEERS in benchmark/peers.py must name '
            f'the module that has taken its place'
        )


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('timm.layers', 'DropPath'),
        ('torchvision.ops', 'StochasticDepth'),
        ('transformers.models.convnext.modeling_convnext', 'ConvNextDropPath'),
        ('transformers.models.convnextv2.modeling_convnextv2', 'ConvNextV2DropPath'),
    ],
)
def test_drop_path_modules_are_found_by_their_name_and_rate(module, name):
    kind = getattr(importlib.import_module(module), name, None)
    advice = 'replace_drop_path in benchmark/shared_drop_path.py must find it otherwise'
    assert kind is not None, f'{module} has no {name} any more: {advice}'
    assert name.endswith(PEER_CLASSES)
    made = kind(0.25, 'row') if name == 'StochasticDepth' else kind(0.25)
    rate = getattr(made, 'drop_prob', getattr(made, 'p', None))
    assert rate == 0.25, f'{name} does not keep its rate as drop_prob or p: {advice}'


def test_timm_names_the_parameters_of_features_only_as_expected():
    import timm

    model = timm.create_model('convnext_atto', features_only=True)
    names = {name.split('.')[0] for name, _ in model.named_children()}
    expected = {'stem_0', 'stem_1', *(f'stages_{i}' for i in range(4))}
    assert expected <= names, (
        f'timm names the children of a features_only model {sorted(names)}: rename in '
        f'build_timm of benchmark/libraries.py must translate them'
    )
    assert hasattr(model, 'set_grad_checkpointing'), (
        'timm has no set_grad_checkpointing any more: benchmark/libraries.py uses it'
    )


def test_torchvision_s_stages_alternate_with_downsampling():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    model = ConvNeXt([CNBlockConfig(4, 8, 1), CNBlockConfig(8, None, 1)])
    kinds = [type(layer[0]).__name__ for layer in model.features]
    assert kinds[1::2] == ['CNBlock', 'CNBlock'], (
        f"the layers of torchvision's ConvNeXt are {kinds}: TorchvisionStages in "
        f'benchmark/libraries.py takes every second one for a stage'
    )
    assert isinstance(model.features, nn.Sequential)
