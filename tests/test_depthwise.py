import pytest
import torch
from torch.utils.checkpoint import checkpoint

from convnext_backbone.block.depthwise import (
    convolve,
    depthwise_conv2d,
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
    monkeypatch.setattr('convnext_backbone.block.depthwise.BAND_POSITIONS', band)
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


def test_gradcheck():
    assert torch.autograd.gradcheck(depthwise_conv2d, arguments((2, 3, 5, 4)))


def test_gradients_under_autocast_and_recomputation():
    x, weight, bias = arguments((2, 6, 24, 24), dtype=torch.float)
    inputs = (x, weight, bias)
    probe = torch.randn(x.shape)
    expected = torch.autograd.grad((convolve(*inputs) * probe).sum(), inputs)
    with torch.autocast('cpu', torch.bfloat16):
        out = checkpoint(depthwise_conv2d, *inputs, use_reentrant=False)
        grads = torch.autograd.grad((out * probe).sum(), inputs)
    assert out.dtype == torch.bfloat16
    for a, b in zip(grads, expected, strict=True):
        assert a.dtype == torch.float
        assert (a - b).norm() < 0.02 * b.norm()


def test_no_gradient_is_made_that_nobody_wants():
    x, weight, bias = arguments()
    frozen = weight.detach()
    out = depthwise_conv2d(x, frozen, bias)
    grad_x, grad_bias = torch.autograd.grad(out.sum(), (x, bias))
    torch.testing.assert_close(grad_bias, torch.full_like(bias, 2 * 9 * 8))
    assert grad_x.shape == x.shape
