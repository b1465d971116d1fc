import pytest
import torch

from convnext_backbone.backbone.block.depthwise import (
    convolve,
    input_gradient,
    weight_gradient,
)


def arguments(shape=(2, 6, 9, 8), kernel=7, dtype=torch.double):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(shape[1], 1, kernel, kernel, dtype=dtype)
    bias = torch.randn(shape[1], dtype=dtype)
    return tuple(t.requires_grad_() for t in (x, weight, bias))


@pytest.mark.parametrize('kernel', [1, 3, 7])
@pytest.mark.parametrize('band', [1, 17, 40, 2048])
def test_gradients_equal_pytorchs(monkeypatch, kernel, band):
    monkeypatch.setattr(
        'convnext_backbone.backbone.block.depthwise.BAND_POSITIONS', band
    )
    x, weight, bias = arguments(kernel=kernel)
    grad = torch.randn(x.shape, dtype=x.dtype)
    expected = torch.autograd.grad(convolve(x, weight, bias), (x, weight), grad)
    with torch.no_grad():
        torch.testing.assert_close(input_gradient(grad, weight), expected[0])
        torch.testing.assert_close(weight_gradient(x, grad, kernel), expected[1])


@pytest.mark.parametrize('shape', [(2, 6, 128, 40), (1, 6, 70, 131), (3, 6, 1, 5)])
def test_gradients_of_fp32_maps_of_all_sizes(shape):
    x, weight, bias = arguments(shape, dtype=torch.float)
    grad = torch.randn(shape)
    (expected,) = torch.autograd.grad(convolve(x, weight, bias), weight, grad)
    with torch.no_grad():
        ours = weight_gradient(x, grad, 7)
    assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()
