"""Depthwise convolution with the gradient of its weight as a grouped convolution.

PyTorch's CPU back end takes ten times as long for the weight's gradient of a
depthwise 7x7 convolution as for its forward pass. The same sum written as one
convolution, with the output's gradient as its kernel, takes a third of that or less.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Side by side in memory, this many positions of a gradient are a kernel that stays
# in the first-level cache; for larger maps the sum is taken band by band.
BAND_POSITIONS = 2048


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve each channel with a kernel of its own; the shape stays.

    Args:
        x: (N, C, H, W), channels_last for speed.
        weight: (C, 1, K, K), K odd.
        bias: (C,).
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return convolve(x, weight, bias)
    return _DepthwiseConv2d.apply(x, weight, bias)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution itself, for PyTorch to differentiate."""
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the input: convolution with the kernels turned by 180 degrees.

    Args:
        grad: Gradient of the output (N, C, H, W).
        weight: (C, 1, K, K), K odd.
    """
    return convolve(grad, weight.flip(2, 3), None)


def weight_gradient(x: Tensor, grad: Tensor, kernel_size: int) -> Tensor:
    """Gradient of the weight (C, 1, K, K), summed over samples and positions.

    Args:
        x: The convolution's input (N, C, H, W).
        grad: Gradient of its output (N, C, H, W).
        kernel_size: K, odd.
    """
    if x.device.type != 'cpu':  # cuDNN has kernels for it
        weight = x.new_empty(x.shape[1], 1, kernel_size, kernel_size)
        return torch.nn.grad.conv2d_weight(
            x, weight.shape, grad, padding=kernel_size // 2, groups=x.shape[1]
        )
    n, c, height, width = x.shape
    bands = -(-height // max(1, BAND_POSITIONS // width))
    rows = -(-height // bands)
    missing, pad = bands * rows - height, kernel_size // 2
    x = F.pad(x, (pad, pad, pad, pad + missing))
    grad = F.pad(grad, (0, 0, 0, missing)) if missing else grad

    step_n, step_c, step_h, step_w = x.stride()
    inputs = x.as_strided(
        (bands, n, c, rows + 2 * pad, width + 2 * pad),
        (rows * step_h, step_n, step_c, step_h, step_w),
    ).reshape(1, bands * n * c, rows + 2 * pad, width + 2 * pad)
    kernels = (
        grad.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        .reshape(n, bands, rows, width, c)
        .permute(1, 0, 4, 2, 3)
        .reshape(bands * n * c, 1, rows, width)
    )
    sums = F.conv2d(inputs, kernels, groups=bands * n * c)  # (1, bands * N * C, K, K)
    return sums.view(bands * n, c, 1, kernel_size, kernel_size).sum(0)


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad
        with torch.autocast(x.device.type, enabled=False):
            return (
                input_gradient(grad, weight) if need_x else None,
                weight_gradient(x, grad, weight.shape[-1]) if need_weight else None,
                grad.sum((0, 2, 3)) if need_bias else None,
            )
