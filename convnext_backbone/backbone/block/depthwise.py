"""Depthwise convolution with the gradient of its weight as a grouped convolution.

PyTorch's CPU back end takes ten times as long for the weight's gradient of a
depthwise 7x7 convolution as for its forward pass. The same sum written as one
convolution, with the output's gradient as its kernel, takes a third of that or less.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

# Positions of a gradient that are one kernel; of a larger map the sum is taken band by
# band, which at 200x200 takes two thirds of the time.
BAND_POSITIONS = 4096


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
        return conv2d_weight(
            x, weight.shape, grad, padding=kernel_size // 2, groups=x.shape[1]
        )
    pad, groups, height = kernel_size // 2, x.shape[1], x.shape[2]
    bands = -(-height * x.shape[3] // BAND_POSITIONS)
    rows = -(-height // bands)
    sums = []
    for sample, kernels in zip(x, grad, strict=True):
        for top in range(0, height, rows):
            kernel = kernels[:, None, top : top + rows].contiguous()
            bottom = top + kernel.shape[2]
            inputs = sample[None, :, max(top - pad, 0) : bottom + pad]
            # The convolution pads both ends alike, the map ends at one of a band's.
            above, below = max(pad - top, 0), max(bottom + pad - height, 0)
            ends = max(above, below)
            product = F.conv2d(inputs, kernel, padding=(ends, pad), groups=groups)
            first = ends - above
            sums.append(product[:, :, first : first + kernel_size])
    return torch.cat(sums).sum(0)[:, None]  # of (1, C, K, K) each
