"""The activations of a block with their gradients, by the names of torch and timm."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

QUICK_GELU_SLOPE = 1.702  # of the sigmoid that stands for the normal distribution


class Activation(NamedTuple):
    """A function of single numbers.

    Attributes:
        apply: Maps a tensor to one of the same shape.
        backward: Turns the gradient of the output, which it may overwrite, and the
            input into the gradient of the input.
    """

    apply: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(QUICK_GELU_SLOPE * x)


def _gelu_backward(grad: Tensor, x: Tensor, approximate: str = 'none') -> Tensor:
    return torch.ops.aten.gelu_backward(
        grad, x, approximate=approximate, grad_input=grad
    )


def _silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.silu_backward(grad, x, grad_input=grad)


def _relu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(grad, x, 0, grad_input=grad)


def _quick_gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    gate = torch.sigmoid(QUICK_GELU_SLOPE * x)
    return grad.mul_(gate * (1 + QUICK_GELU_SLOPE * x * (1 - gate)))


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        'gelu': Activation(F.gelu, _gelu_backward),
        'gelu_tanh': Activation(
            partial(F.gelu, approximate='tanh'),
            partial(_gelu_backward, approximate='tanh'),
        ),
        'silu': Activation(F.silu, _silu_backward),
        'relu': Activation(F.relu, _relu_backward),
        'quick_gelu': Activation(_quick_gelu, _quick_gelu_backward),
    }
)
