import pytest
import torch
from torchvision.ops import roi_align

from convnext_backbone.openmmlab.roi_align_cpu import roi_align_backward

SHAPE = (2, 5, 12, 17)


def some_rois(dtype) -> torch.Tensor:
    """Boxes of all sizes, inside, across and beyond the borders, one without area."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(60, 2, generator=generator) * 90 - 20
    size = torch.rand(60, 2, generator=generator) * 70
    size[0] = 0
    size[1] = 300
    index = torch.arange(60)[:, None] % 2
    return torch.cat([index, corner, corner + size], dim=1).to(dtype)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 1, 2, 3])
@pytest.mark.parametrize('size', [(7, 7), (4, 3)])
@pytest.mark.parametrize('dtype', [torch.float, torch.double])
def test_equals_the_gradient_of_torchvision(aligned, sampling_ratio, size, dtype):
    rois = some_rois(dtype)
    x = torch.randn(SHAPE, dtype=dtype, requires_grad=True)
    out = roi_align(x, rois, size, 0.25, sampling_ratio, aligned)
    grad = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, x, grad)
    ours = roi_align_backward(grad, rois, SHAPE, 0.25, sampling_ratio, aligned)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_no_rois_give_a_zero_gradient():
    grad = torch.zeros(0, 5, 7, 7)
    out = roi_align_backward(grad, torch.zeros(0, 5), SHAPE, 0.25, 0, True)
    assert out.shape == SHAPE
    assert not out.any()


@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_rois_that_are_no_numbers_touch_nothing(sampling_ratio):
    rois = torch.tensor([[0, float('nan'), 0, 9, 9], [1, 0, 0, 9, float('nan')]])
    grad = torch.ones(2, 5, 3, 3)
    out = roi_align_backward(grad, rois, SHAPE, 0.25, sampling_ratio, True)
    assert out.isfinite().all()
