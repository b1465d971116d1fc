"""Models without memory: built of FakeTensors, which have a shape and no values."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def fake_model(cfg: Config, device: str = 'cuda') -> Iterator[nn.Module]:
    """Build a config's model of FakeTensors, and stay in their mode.

    Args:
        cfg: The config.
        device: Where the tensors claim to be. It decides which operations mixed
            precision lowers, and need not exist on this machine.
    """
    model = meta_model(cfg)
    with FakeTensorMode():
        for module in model.modules():
            for key, value in list(module.named_parameters(recurse=False)):
                fake = torch.empty(value.shape, dtype=value.dtype, device=device)
                setattr(module, key, nn.Parameter(fake, value.requires_grad))
            for key, value in list(module.named_buffers(recurse=False)):
                fake = torch.empty(value.shape, dtype=value.dtype, device=device)
                setattr(module, key, fake)
        yield model


def meta_model(cfg: Config) -> nn.Module:
    """Build a config's model with parameters on the meta device, buffers on the CPU.

    Unlike within ``torch.device('meta')``, constructors may look at values, as Swin's
    does.
    """
    # Parameters lose their memory as soon as they are registered.
    hook = register_module_parameter_registration_hook(
        lambda module, name, value: (
            None
            if value is None
            else nn.Parameter(value.detach().to('meta'), value.requires_grad)
        )
    )
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            return MODELS.build(copy.deepcopy(cfg.model))
    finally:
        hook.remove()


def images_for(model: nn.Module, number: int, shape: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) with as many channels as the backbone's first kernel has."""
    stem = next(p for p in model.backbone.parameters() if p.dim() == 4)
    return stem.new_zeros(number, stem.shape[1], *shape)


def forward(model: nn.Module, images: Tensor, boxes: int, masks: int) -> None:
    """Run a model up to the outputs of the heads that inference uses.

    Args:
        model: A detector or segmentor.
        images: (N, C, H, W).
        boxes: Proposals in all for each box head of a two-stage detector; pooled
            features of no particular value stand for them.
        masks: Proposals in all for each of its mask heads.
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
    head = getattr(model, 'decode_head', None)
    if head and 'batch_data_samples' in inspect.signature(head.forward).parameters:
        head(model.extract_feat(images), samples)  # Mask2Former: mmseg passes none
    else:
        model(images, samples, mode='tensor')


def listed(modules: nn.Module) -> list[nn.Module]:
    """Return heads as a list, also where there is one that is no list."""
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
