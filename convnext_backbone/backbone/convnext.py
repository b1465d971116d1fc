"""ConvNeXt V1 (arXiv 2201.03545) and V2 (arXiv 2301.00808) for dense prediction.

Parameter names are those of Meta's detectors and segmentors. Activations are
kept channels_last from the stem to the outputs, so that each permute around a
LayerNorm or a linear layer is a view and never a copy.
"""

from collections.abc import Sequence

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn

from convnext_backbone.backbone.archs import (
    check_act,
    check_arguments,
    check_frozen_stages,
    check_with_cp,
    parse_arch,
    parse_out_indices,
)
from convnext_backbone.backbone.block import ACTIVATIONS, KEPT, NORM_EPS, Block
from convnext_backbone.backbone.init_cfg import CHECKPOINT_INIT, init_configs
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.registry import MODELS

STEM_STRIDE = 4


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of an (N, C, H, W) map, at every position."""

    def __init__(self, channels: int, eps: float = NORM_EPS) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` of shape (N, C, H, W); the shape stays."""
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = super().forward(x)
        return x.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


@MODELS.register_module()
class ConvNeXt(BaseModule):
    """ConvNeXt V1 or V2 that emits a LayerNorm-ed feature map per stage.

    Args:
        arch: A name from :data:`.archs.ARCHS`, or ``dict(depths=..., channels=...)``
            with one entry a stage, any number of stages.
        in_channels: Channels of the input image.
        out_indices: Stages to emit, ascending. Stages after the last one are not
            built, so no parameter is left without a gradient.
        drop_path_rate: Stochastic depth of the last block; it rises linearly from
            0 at the first block.
        layer_scale_init_value: Start of layer scale, 1.0 in the detection and
            segmentation recipes (1e-6 in ImageNet training); 0 leaves it out.
        use_grn: V2: GRN in every block, and no layer scale.
        kernel_size: Side of the depthwise kernels, odd.
        act: Activation of the blocks: 'gelu', 'gelu_tanh', 'silu', 'relu' or
            'quick_gelu', as torch and timm name them. Like ``norm_eps`` it is not in
            the weights: pretrained ones compute something else with another.
        norm_eps: What every LayerNorm adds to the variance.
        frozen_stages: As in mmdet's ResNet: -1 freezes nothing, 0 the stem, k the
            stem and the first k stages with their downsampling and their ``norm{i}``.
        with_cp: What the blocks recompute in backward, to the same gradients: False
            nothing; 'selective' LayerNorm and activation; 'hidden' the first linear
            too; True all but their inputs. They keep 11, 6, 2 and 1 times the size of a
            block's input. 'selective' is 'hidden' in the first stage, whose
            activations are the most and the cheapest to recompute.
        init_cfg: mmengine's initialisation config. Without one the published
            initialisation is drawn (truncated normal of std 0.02, zero biases).
            ``dict(type='convnext_backbone.Checkpoint', source=...)`` loads pretrained
            weights of any family, and so does mmengine's 'Pretrained'.

    Attributes:
        depths: Blocks of each stage of the arch.
        channels: Width of each stage of the arch.
        out_channels: Width of each emitted map.
        load_report: What the last checkpoint gave, a
            :class:`~convnext_backbone.checkpoints.LoadReport`; None for random weights.

    Raises:
        UserError: An argument is out of range; the message states the fix.
    """

    def __init__(
        self,
        arch: str | dict = 'tiny',
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1.0,
        use_grn: bool = False,
        kernel_size: int = 7,
        act: str = 'gelu',
        norm_eps: float = NORM_EPS,
        frozen_stages: int = -1,
        with_cp: bool | str = 'selective',
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_configs(init_cfg))
        self.depths, self.channels = parse_arch(arch)
        self.out_indices = parse_out_indices(out_indices, len(self.depths))
        check_arguments(
            *(in_channels, drop_path_rate, layer_scale_init_value),
            *(kernel_size, norm_eps),
        )
        check_act(act, ACTIVATIONS)
        check_frozen_stages(frozen_stages, len(self.depths))
        check_with_cp(with_cp, KEPT)
        self.act, self.norm_eps = act, norm_eps
        self.frozen_stages = frozen_stages
        self.out_channels = tuple(self.channels[i] for i in self.out_indices)
        self.load_report: object | None = None

        last = max(1, sum(self.depths) - 1)
        block_rates = (drop_path_rate * i / last for i in range(last + 1))
        self.downsample_layers = nn.ModuleList()
        self.stages = nn.ModuleList()
        for i in range(self.out_indices[-1] + 1):
            level = 'hidden' if with_cp == 'selective' and i == 0 else with_cp
            blocks = [
                Block(
                    self.channels[i],
                    kernel_size=kernel_size,
                    drop_path_rate=next(block_rates),
                    layer_scale_init_value=0 if use_grn else layer_scale_init_value,
                    use_grn=use_grn,
                    with_cp=level,
                    act=act,
                    norm_eps=norm_eps,
                )
                for _ in range(self.depths[i])
            ]
            inputs, outputs = (in_channels, *self.channels)[i : i + 2]
            self.downsample_layers.append(_downsampling(i, inputs, outputs, norm_eps))
            self.stages.append(nn.Sequential(*blocks))
        for i in self.out_indices:
            self.add_module(f'norm{i}', LayerNorm2d(self.channels[i], norm_eps))

        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._freeze()

    def init_weights(self) -> None:
        """Apply ``init_cfg``; say so when training starts from random weights."""
        if not any(
            cfg['type'] == CHECKPOINT_INIT for cfg in init_configs(self.init_cfg)
        ):
            MMLogger.get_current_instance().info(
                'ConvNeXt has no pretrained weights in its init_cfg: the backbone '
                'starts from random ones until a checkpoint is loaded'
            )
        super().init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the emitted feature maps.

        Args:
            x: Images (N, in_channels, H, W), H and W of at least one stride of the
                last emitted stage (32 pixels for the fourth).

        Returns:
            One map (N, C_i, H // s_i, W // s_i) for each of ``out_indices``, with
            strides s_i of 4, 8, 16, 32. Their memory format is channels_last.

        Raises:
            UserError: The input is smaller than the stride.
        """
        stride = STEM_STRIDE * 2 ** self.out_indices[-1]
        if min(x.shape[-2:]) < stride:
            raise UserError(
                f'input of shape {tuple(x.shape)}: H and W must be at least {stride} '
                f'pixels, the stride of stage {self.out_indices[-1]}; use larger '
                f'images or smaller out_indices'
            )
        x = x.contiguous(memory_format=torch.channels_last)
        outs = []
        for i, (down, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            x = stage(down(x))
            if i in self.out_indices:
                outs.append(getattr(self, f'norm{i}')(x))
        return tuple(outs)

    def train(self, mode: bool = True) -> 'ConvNeXt':
        """Set the mode of all but the frozen stages, which stay in eval mode."""
        super().train(mode)
        self._freeze()
        return self

    def _freeze(self) -> None:
        frozen: list[nn.Module] = []
        if self.frozen_stages >= 0:
            frozen.append(self.downsample_layers[0])
        for i in range(min(self.frozen_stages, len(self.stages))):
            frozen += [self.downsample_layers[i], self.stages[i]]
            if i in self.out_indices:
                frozen.append(getattr(self, f'norm{i}'))
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def _downsampling(stage: int, inputs: int, outputs: int, eps: float) -> nn.Sequential:
    """Make the stem, or what halves the map before a later stage."""
    if stage == 0:
        conv = nn.Conv2d(inputs, outputs, STEM_STRIDE, stride=STEM_STRIDE)
        return nn.Sequential(conv, LayerNorm2d(outputs, eps))
    conv = nn.Conv2d(inputs, outputs, 2, stride=2)
    return nn.Sequential(LayerNorm2d(inputs, eps), conv)
