"""Meta's and mmpretrain's ConvNeXt, rewritten, because neither can be installed here.

Neither project runs with a current PyTorch. These classes have their operations, in
their order, on activations in PyTorch's default memory layout, and our parameter names.
Both return four feature maps behind a LayerNorm, as their detectors use them.

The modules are independent of ours on purpose and share no code with them, GRN's
formula included: they are what ours is compared with.

Sources: facebookresearch/ConvNeXt ``object_detection`` and ConvNeXt-V2; mmpretrain
``models/backbones/convnext.py``, ``models/utils/norm.py``; mmcv's ``DropPath``.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.shared_drop_path import KeptSamples, SharedDropPath

EPS = 1e-6


class MetaLayerNorm(nn.Module):
    """Meta's LayerNorm over the channels of (N, C, H, W), from mean and variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` of shape (N, C, H, W)."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + EPS)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class MMPretrainLayerNorm(nn.LayerNorm):
    """mmpretrain's LN2d: permutes the channels to the end, and back with a copy."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` of shape (N, C, H, W)."""
        x = super().forward(x.permute(0, 2, 3, 1))
        return x.permute(0, 3, 1, 2).contiguous()


class FormulaGRN(nn.Module):
    """GRN on (N, H, W, C), as both projects write it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` of shape (N, H, W, C)."""
        norms = torch.norm(x, p=2, dim=(1, 2), keepdim=True)  # (N, 1, 1, C)
        ratios = norms / (norms.mean(dim=-1, keepdim=True) + EPS)
        return self.gamma * (x * ratios) + self.beta + x


class MetaBlock(nn.Module):
    """Meta's block: layer scale before the permutation back."""

    divides = False

    def __init__(self, channels: int, use_grn: bool, drop_path: nn.Module) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.act = nn.GELU()
        self.grn = FormulaGRN(4 * channels) if use_grn else None
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = None if use_grn else nn.Parameter(torch.ones(channels))
        self.drop_path = drop_path

    def hidden(self, x: Tensor) -> Tensor:
        """Compute the branch up to the second linear layer, (N, H, W, C)."""
        x = self.dwconv(x).permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = self.act(self.pwconv1(self.norm(x)))
        if self.grn is not None:
            x = self.grn(x)
        return self.pwconv2(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        branch = self.hidden(x)
        if self.gamma is not None:
            branch = self.gamma * branch
        return x + self.drop_path(branch.permute(0, 3, 1, 2))


class MMPretrainBlock(MetaBlock):
    """mmpretrain's block of linear layers: layer scale after the permutation."""

    divides = True

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        branch = self.hidden(x).permute(0, 3, 1, 2)
        if self.gamma is not None:
            branch = branch.mul(self.gamma.view(1, -1, 1, 1))
        return x + self.drop_path(branch)


class FormulaConvNeXt(nn.Module):
    """A backbone whose blocks and norms are those of a subclass.

    Args:
        arch: The architecture.
        kept_samples: The samples that the blocks keep, and their drop path rates.
        with_cp: Whether to recompute each block in the backward pass, as both projects
            can do.
    """

    block: type[MetaBlock]
    norm: type[nn.Module]

    def __init__(
        self, arch: Arch, kept_samples: KeptSamples, with_cp: bool = False
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        number = 0
        for i, (depth, width) in enumerate(
            zip(arch.depths, arch.channels, strict=True)
        ):
            if i == 0:
                down = [nn.Conv2d(3, width, 4, stride=4), self.norm(width)]
            else:
                previous = arch.channels[i - 1]
                down = [self.norm(previous), nn.Conv2d(previous, width, 2, stride=2)]
            blocks = []
            for _ in range(depth):
                drop_path = (
                    SharedDropPath(kept_samples, number, self.block.divides)
                    if kept_samples.rates[number] > 0
                    else nn.Identity()
                )
                blocks.append(self.block(width, arch.use_grn, drop_path))
                number += 1
            self.downsample_layers.append(nn.Sequential(*down))
            self.stages.append(nn.Sequential(*blocks))
            self.add_module(f'norm{i}', self.norm(width))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to a feature map of each stage."""
        outs = []
        for i, (down, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = down(x)
            for block in stage.children():
                if self.with_cp and x.requires_grad:
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            outs.append(getattr(self, f'norm{i}')(x))
        return tuple(outs)


class MetaConvNeXt(FormulaConvNeXt):
    """Meta's backbone of 2022."""

    block = MetaBlock
    norm = MetaLayerNorm


class MMPretrainConvNeXt(FormulaConvNeXt):
    """mmpretrain's backbone, with ``gap_before_final_norm=False``."""

    block = MMPretrainBlock
    norm = MMPretrainLayerNorm
