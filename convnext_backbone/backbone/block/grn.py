"""GRN by rows, with its gradient."""

import functools

import torch
from torch import Tensor

from convnext_backbone.backbone.block.block_weights import BlockWeights

GRN_EPS = 1e-6


def relative_norm(norm: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Divide the norm of each channel by the mean norm (V2, equation 2).

    Args:
        norm: L2 norm of each channel over the positions.
        dim: The dimension of the channels.

    Returns:
        The relative norms, and the mean that they were divided by, which has size 1 in
        ``dim`` and includes :data:`GRN_EPS`.
    """
    mean = norm.mean(dim, keepdim=True) + GRN_EPS
    return norm / mean, mean


def sample_norm(activations: list[Tensor]) -> Tensor:
    """L2 norm over the positions of a sample, in fp32 or wider: (4C,)."""
    wide = torch.promote_types(activations[0].dtype, torch.float32)
    # Not vector_norm, whose sums over rows take eight times as long on a CPU.
    squares = (a.to(wide).square().sum(0) for a in activations)
    return functools.reduce(torch.add, squares).sqrt()


class Grn:
    """Global response normalisation of one sample (see ``module.GRN``), by rows.

    Args:
        norm: The sample's L2 norm of each hidden channel over the positions, (4C,).
        weights: The block's parameters.
    """

    def __init__(self, norm: Tensor, weights: BlockWeights) -> None:
        assert weights.grn_gamma is not None and weights.grn_beta is not None
        self.norm = norm  # (4C,)
        self.gamma, self.beta = weights.grn_gamma.flatten(), weights.grn_beta.flatten()
        self.relative, self.mean = relative_norm(norm)
        self.scale = 1 + self.gamma * self.relative

    def apply(self, active: Tensor) -> Tensor:
        """Normalise rows (R, 4C) of the sample."""
        dtype = active.dtype
        return torch.addcmul(self.beta.to(dtype), active, self.scale.to(dtype))

    def add_gradients(
        self,
        product: Tensor,
        bias: Tensor,
        weights: BlockWeights,
        factor: Tensor,
        sums: BlockWeights,
    ) -> None:
        """Add the sample's gradients; learn what its activations' norm contributes.

        Args:
            product: Output gradients, transposed, times activations before GRN,
                (C, 4C).
            bias: Output gradients summed over positions, (C,).
            weights: The block's parameters.
            factor: What multiplies the second linear's output, (C,).
            sums: Receives the gradients.
        """
        assert sums.grn_gamma is not None and sums.grn_beta is not None
        weight2 = weights.weight2.to(product.dtype)
        sums.weight2.addcmul_(product, self.scale)
        sums.weight2.addr_(bias, self.beta.to(product.dtype))
        sums.grn_beta.view(-1).add_((bias * factor) @ weight2)
        scale = factor @ product.mul_(weight2)  # gradient of self.scale
        sums.grn_gamma.view(-1).add_(scale * self.relative)
        relative = scale * self.gamma
        norm = relative / self.mean
        norm -= (relative * self.norm).sum() / (self.mean**2 * self.norm.numel())
        self.of_norm = torch.where(self.norm > 0, norm / self.norm, 0)

    def backward(self, grad: Tensor, active: Tensor) -> Tensor:
        """Turn the gradient of the output, rows (R, 4C), into that of the input."""
        dtype = grad.dtype
        grad.mul_(self.scale.to(dtype))
        return grad.addcmul_(active, self.of_norm.to(dtype))
