"""Models that take no memory: of FakeTensors, which have a shape and no values."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def fake_model(cfg: Config, device: str = 'cuda') -> Iterator[BaseModel]:
    """Build a config's model of FakeTensors, for the length of the block.

    Args:
        cfg: The config.
        device: See :func:`fake_tensors`.
    """
    with fake_tensors(meta_model(cfg), device) as model:
        yield model


@contextmanager
def fake_tensors(model: BaseModel, device: str = 'cuda') -> Iterator[BaseModel]:
    """Replace parameters and buffers by FakeTensors; in the block all tensors are such.

    Args:
        model: The model; it is changed in place.
        device: The device that the tensors claim to be on, which need not exist on this
            machine. It decides which operations mixed precision lowers.
    """
    with FakeTensorMode():
        for module in model.modules():
            for key, value in list(module.named_parameters(recurse=False)):
                fake = torch.empty(value.shape, dtype=value.dtype, device=device)
                setattr(module, key, nn.Parameter(fake, value.requires_grad))
            for key, buffer in list(module.named_buffers(recurse=False)):
                fake = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
                setattr(module, key, fake)
        yield model


def meta_model(cfg: Config) -> BaseModel:
    """Build a config's model with parameters on the meta device, buffers on the CPU."""
    with (
        meta_parameters(),
        DefaultScope.overwrite_default_scope(cfg.get('default_scope')),
    ):
        return MODELS.build(copy.deepcopy(cfg.model))


@contextmanager
def meta_parameters() -> Iterator[None]:
    """Move every parameter to the meta device as soon as a module registers it.

    Unlike within ``torch.device('meta')``, constructors may read the values of tensors,
    as Swin's does.
    """

    def to_meta(
        module: nn.Module, name: str, value: nn.Parameter | None
    ) -> nn.Parameter | None:
        if value is None:
            return None
        return nn.Parameter(value.detach().to('meta'), value.requires_grad)

    # torch's annotation leaves out that a hook may return another parameter.
    hook = register_module_parameter_registration_hook(to_meta)  # type: ignore[arg-type]
    try:
        yield
    finally:
        hook.remove()


def images_for(model: BaseModel, number: int, shape: tuple[int, int]) -> Tensor:
    """Make images (N, C, H, W) with the channels that the backbone's first layer takes.

    Args:
        model: A detector or segmentor.
        number: N.
        shape: Height and width in pixels.
    """
    stem = next(p for p in model.backbone.parameters() if p.dim() == 4)
    return stem.new_zeros(number, stem.shape[1], *shape)


def forward(model: BaseModel, images: Tensor, boxes: int, masks: int) -> None:
    """Run a model up to the outputs of the heads that inference uses.

    Args:
        model: A detector or segmentor.
        images: (N, C, H, W).
        boxes: Number of proposals, of all images together, for each box head of a
            two-stage detector; uninitialised tensors stand for their pooled features.
        masks: The same for each of its mask heads.
    """
    if getattr(model, 'with_roi_head', False) and model.with_rpn:
        features = model.extract_feat(images)
        model.rpn_head(features)
        for kind, number in (('bbox', boxes), ('mask', masks)):
            if not getattr(model.roi_head, f'with_{kind}'):
                continue
            heads = listed(getattr(model.roi_head, f'{kind}_head'))
            extractors = listed(getattr(model.roi_head, f'{kind}_roi_extractor'))
            for head, extractor in zip(heads, extractors, strict=True):
                size = extractor.roi_layers[0].output_size
                pooled = features[0].new_empty(number, extractor.out_channels, *size)
                head(pooled.requires_grad_(torch.is_grad_enabled()))
        return
    if hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample

    size = tuple(images.shape[-2:])
    meta = dict(img_shape=size, batch_input_shape=size)
    samples = [Sample(metainfo=meta) for _ in images]
    decode_head = getattr(model, 'decode_head', None)
    if (
        decode_head
        and 'batch_data_samples' in inspect.signature(decode_head.forward).parameters
    ):
        decode_head(
            model.extract_feat(images), samples
        )  # Mask2Former's, to which mmseg's tensor mode passes no samples
    else:
        model(images, samples, mode='tensor')


def listed(modules: BaseModule | nn.ModuleList) -> list[BaseModule]:
    """Return the modules of a ModuleList, or a single module, as a list."""
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
