"""Ways to run ours for inference compute the same."""

import pytest
import torch
from support.small_backbones import contestants, images, kept_samples_of, small

from convnext_backbone.benchmark.inference_variants import (
    VARIANTS,
    Variant,
    make_variants,
)
from convnext_backbone.benchmark.peers import OURS


def test_a_wrong_variant_is_found_and_a_missing_package_left_out():
    arch = small()
    (ours,) = contestants(arch, kept_samples_of(arch), (OURS, False))
    wrong = Variant(lambda model, images: lambda x: [1.01 * y for y in model(x)])
    with pytest.raises(ValueError, match='wrong does not compute'):
        make_variants(ours.module, images(), {'wrong': wrong})
    gone = Variant(VARIANTS['eager'].make, packages=('no_such_package',))
    assert make_variants(ours.module, images(), {'gone': gone}) == {}


@pytest.mark.parametrize(
    'names',
    [
        ['openvino'],
        pytest.param(['openvino', 'openvino int8'], marks=pytest.mark.slow),
        pytest.param(['onnx'], marks=pytest.mark.slow),
    ],
)
def test_engines_compute_the_maps_of_the_backbone(names):
    (ours,) = contestants(small(), kept_samples_of(small()), (OURS, False))
    batch = torch.randn(1, 3, 64, 96)
    runs = make_variants(ours.module, batch, {name: VARIANTS[name] for name in names})
    assert list(runs) == names
    exact, *coarse = (run(batch) for run in runs.values())
    with torch.no_grad():
        expected = ours.module(batch)
    for one, true in zip(exact, expected, strict=True):
        torch.testing.assert_close(one, true, rtol=1e-4, atol=1e-4)
    for maps in coarse:  # eight bits were used
        assert not any(map(torch.equal, maps, exact))


def test_engines_are_left_out_where_they_cannot_run():
    (ours,) = contestants(small(), kept_samples_of(small()), (OURS, False))
    engines = {name: VARIANTS[name] for name in ('openvino', 'onnx')}
    assert make_variants(ours.module, torch.randn(1, 3, 64, 72), engines) == {}
