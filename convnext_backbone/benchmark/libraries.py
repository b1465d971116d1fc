"""The backbones of libraries: timm, torchvision, Hugging Face's transformers.

timm and torchvision have no norm for their feature maps and get ours, so that all do
the same work. Each builder returns the module, whose four feature maps are behind a
LayerNorm, and a function that translates the names of its parameters to ours. A library
is imported only when it is used.
"""

import re
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from convnext_backbone.backbone.convnext import LayerNorm2d
from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.shared_drop_path import KeptSamples, replace_drop_path
from convnext_backbone.checkpoints.keymaps import to_ours

Built = tuple[nn.Module, Callable[[str], str | None]]
NORM = re.compile(r'norm\d\.(weight|bias)')


class NormedMaps(nn.Module):
    """A backbone without norms, with a LayerNorm on each of its feature maps."""

    def __init__(self, body: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        for i, width in enumerate(channels):
            self.add_module(f'norm{i}', LayerNorm2d(width))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to a feature map of each stage."""
        maps = enumerate(self.body(x))
        return tuple(getattr(self, f'norm{i}')(out) for i, out in maps)


class TorchvisionStages(nn.Module):
    """torchvision's model, with the outputs of its stages."""

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (N, 3, H, W) to a feature map of each stage, without a norm."""
        outs = []
        for down, stage in zip(self.features[::2], self.features[1::2], strict=True):
            x = stage(down(x))
            outs.append(x)
        return outs


class HuggingFaceMaps(nn.Module):
    """A backbone of transformers, with its feature maps as a tuple."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to a feature map of each stage."""
        return tuple(self.backbone(x).feature_maps)


def _timm_name(arch: Arch) -> str:
    """Return the name that timm has for an architecture."""
    return f'convnext{"v2" if arch.use_grn else ""}_{arch.size}'


def timm_has(arch: Arch) -> bool:
    """Tell whether timm has an architecture."""
    import timm

    return timm.is_model(_timm_name(arch))


def build_timm(arch: Arch, kept_samples: KeptSamples, with_cp: bool) -> Built:
    """Build timm's backbone with ``features_only=True``, as detectors use it."""
    import timm
    from timm.models import FeatureListNet

    body = timm.create_model(
        _timm_name(arch),
        features_only=True,
        depths=arch.depths,
        dims=arch.channels,
        drop_path_rate=kept_samples.rates[-1],
        ls_init_value=None if arch.use_grn else 1.0,
    )
    assert isinstance(body, FeatureListNet)  # with features_only
    body.set_grad_checkpointing(with_cp)
    replace_drop_path(body, kept_samples, divides=False)

    def rename(key: str) -> str | None:
        if NORM.fullmatch(key):
            return key
        # features_only joins the names of containers with an underscore.
        return to_ours(re.sub(r'^body\.(stem|stages)_', r'\1.', key), 'timm')

    return NormedMaps(body, arch.channels), rename


def torchvision_has(arch: Arch) -> bool:
    """Tell whether torchvision has an architecture."""
    import torchvision

    return not arch.use_grn and hasattr(torchvision.models, f'convnext_{arch.size}')


def build_torchvision(arch: Arch, kept_samples: KeptSamples, with_cp: bool) -> Built:
    """Build the stages of torchvision's model."""
    from torchvision.models.convnext import CNBlockConfig
    from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

    widths = [*arch.channels, None]
    model = TorchvisionConvNeXt(
        [CNBlockConfig(*widths[i : i + 2], n) for i, n in enumerate(arch.depths)],
        stochastic_depth_prob=kept_samples.rates[-1],
        layer_scale=1.0,
    )
    replace_drop_path(model, kept_samples, divides=False)

    def rename(key: str) -> str | None:
        if NORM.fullmatch(key):
            return key
        return to_ours(key.removeprefix('body.'), 'torchvision')

    return NormedMaps(TorchvisionStages(model.features), arch.channels), rename


def build_hf(arch: Arch, kept_samples: KeptSamples, with_cp: bool) -> Built:
    """Build a ``ConvNextBackbone`` or ``ConvNextV2Backbone``."""
    import transformers

    kind = 'ConvNextV2' if arch.use_grn else 'ConvNext'
    config = getattr(transformers, f'{kind}Config')(
        depths=list(arch.depths),
        hidden_sizes=list(arch.channels),
        num_stages=len(arch.depths),
        drop_path_rate=kept_samples.rates[-1],
        out_features=[f'stage{i + 1}' for i in range(len(arch.depths))],
        **({} if arch.use_grn else {'layer_scale_init_value': 1.0}),
    )
    backbone = getattr(transformers, f'{kind}Backbone')(config)
    replace_drop_path(backbone, kept_samples, divides=True)
    return (
        HuggingFaceMaps(backbone),
        lambda key: to_ours(key.removeprefix('backbone.'), 'hf'),
    )
