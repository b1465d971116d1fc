"""The ConvNeXt block as a module, with V2's GRN."""

from collections.abc import Sequence
from functools import cache

import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn

from convnext_backbone.backbone.block.activations import ACTIVATIONS
from convnext_backbone.backbone.block.block_weights import BlockWeights
from convnext_backbone.backbone.block.function import (
    NORM_EPS,
    Settings,
    residual_block,
)
from convnext_backbone.backbone.block.grn import relative_norm


class GRN(nn.Module):
    """Global response normalisation (V2, section 3.3) on (N, H, W, C).

    ``G`` is the L2 norm of each channel over H and W, ``N = G / mean(G)`` over
    channels, and the output ``gamma * (x * N) + beta + x``. The statistics are
    computed in fp32 whatever the dtype of ``x``: the squares of fp16
    activations overflow from 256 on.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` of shape (N, H, W, C); the shape stays."""
        g = torch.linalg.vector_norm(
            x, dim=(1, 2), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float)
        )  # (N, 1, 1, C)
        relative, _ = relative_norm(g)
        scale = (1 + self.gamma * relative).to(x.dtype)
        return torch.addcmul(self.beta.to(x.dtype), x, scale)


class Block(nn.Module):
    """Residual block: depthwise conv, LayerNorm, linear, activation, (GRN,) linear.

    Args:
        channels: C, in and out; the hidden width is 4C.
        kernel_size: Side of the depthwise kernel, odd.
        drop_path_rate: Probability that a sample skips the branch in training.
        layer_scale_init_value: Start of ``gamma``; 0 leaves layer scale out.
        use_grn: V2's GRN on the hidden activations.
        with_cp: What backward recomputes, see ``ConvNeXt``.
        act: The activation, a name of :data:`.activations.ACTIVATIONS`.
        norm_eps: What LayerNorm adds to the variance.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1.0,
        use_grn: bool = False,
        with_cp: bool | str = 'selective',
        act: str = 'gelu',
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.norm = nn.LayerNorm(channels, eps=norm_eps)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = GRN(4 * channels) if use_grn else None
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = (
            nn.Parameter(torch.full((channels,), float(layer_scale_init_value)))
            if layer_scale_init_value > 0
            else None
        )
        self.drop_path_rate = drop_path_rate
        self.with_cp = with_cp
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        if torch.jit.is_tracing() or (torch.compiler.is_compiling() and _say_plain()):
            return self.formula(x)
        if not self._is_plain():
            return self.formula(x)
        settings = Settings(self.act, self.norm.eps)
        kept: Sequence[int] = range(len(x))
        scale = 1.0
        if self._drops():
            kept = self._draw(len(x)).nonzero().flatten().tolist()
            scale = 1 / (1 - self.drop_path_rate)
        return residual_block(x, self.weights(), kept, scale, self.with_cp, settings)

    def formula(self, x: Tensor) -> Tensor:
        """The same in plain terms, for whatever follows or transforms operations.

        Its shapes do not depend on what drop path draws.
        """
        if not self._drops():
            return x + self.branch(x)
        scales = self._draw(len(x)) / (1 - self.drop_path_rate)
        return x + self.branch(x) * scales.to(x.device, x.dtype).view(-1, 1, 1, 1)

    def _drops(self) -> bool:
        return self.training and self.drop_path_rate > 0

    def _draw(self, samples: int) -> Tensor:
        """Draw which samples keep the branch.

        On the CPU, for the kept samples are then known without a device sync.
        """
        return torch.rand(samples, device='cpu') < 1 - self.drop_path_rate

    def _is_plain(self) -> bool:
        """Tell whether the layers are what they were made as, without hooks.

        Adapters such as LoRA, quantised layers and hooks want to be called.
        """
        return all(
            type(module) is kind
            and not module._forward_hooks
            and not module._forward_pre_hooks
            and not module._backward_hooks
            and not module._backward_pre_hooks
            for module, kind in (
                (self.dwconv, nn.Conv2d),
                (self.norm, nn.LayerNorm),
                (self.pwconv1, nn.Linear),
                (self.grn, GRN),
                (self.pwconv2, nn.Linear),
            )
            if module is not None
        )

    def weights(self) -> BlockWeights:
        """The parameters as the block function takes them."""
        grn = self.grn
        assert self.dwconv.bias is not None
        return BlockWeights(
            self.dwconv.weight,
            self.dwconv.bias,
            self.norm.weight,
            self.norm.bias,
            self.pwconv1.weight,
            self.pwconv1.bias,
            self.pwconv2.weight,
            self.pwconv2.bias,
            self.gamma,
            None if grn is None else grn.gamma,
            None if grn is None else grn.beta,
        )

    def branch(self, x: Tensor) -> Tensor:
        """Everything between the block's input and the addition to it."""
        x = self.dwconv(x)
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = ACTIVATIONS[self.act].apply(self.pwconv1(self.norm(x)))
        if self.grn is not None:
            x = self.grn(x)
        x = self.pwconv2(x)
        if self.gamma is not None:
            x = self.gamma * x
        return x.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


@torch.compiler.assume_constant_result
def _say_plain() -> bool:
    _log_once(
        'torch.compile: the blocks run by their plain formula, with_cp has no effect'
    )
    return True


@cache
def _log_once(message: str) -> None:
    MMLogger.get_current_instance().info(message)
