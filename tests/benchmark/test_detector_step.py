"""Training steps of detectors with different backbones."""

import pytest
import torch
from support.small_backbones import contestants, kept_samples_of, small

from convnext_backbone.benchmark import detector_step
from convnext_backbone.benchmark.peers import OURS


@pytest.mark.slow
def test_detectors_of_different_backbones_take_the_same_step(data_dir):
    arch = small()
    kept_samples = kept_samples_of(arch)
    found = contestants(
        arch, kept_samples, (OURS, False), ('meta', False), ('timm', False)
    )
    batch = detector_step.load_batch(str(data_dir / 'coco_mini'), 2, (128, 160), 'cpu')
    assert batch['inputs'].shape == (2, 3, 128, 160)
    steps = {
        (c.name,): detector_step.DetectorStep(c, arch, kept_samples, batch)
        for c in found
    }
    detector_step.check_losses(steps)
    losses = []
    for step in steps.values():
        step.optimizer.zero_grad()
        loss = step.loss(1)  # a seed at which every block keeps a sample
        loss.backward()
        losses.append(loss.item())
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)
    for key, param in found[0].params.items():
        greatest = param.grad.abs().max()
        assert greatest > 0, key
        for other in found[1:]:
            difference = other.params[key].grad.reshape(param.shape) - param.grad
            assert difference.abs().max() < 0.01 * greatest, key
    for one, step in zip(found, steps.values(), strict=True):
        before = {key: p.detach().clone() for key, p in one.params.items()}
        assert step(1)['train_step'] > 0
        assert not any(torch.equal(p, before[k]) for k, p in one.params.items())
