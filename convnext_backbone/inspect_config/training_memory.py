"""Estimates the memory of a training step from the tensors that autograd saves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn

from convnext_backbone.backbone.block import Block
from convnext_backbone.inspect_config.fake_models import (
    fake_model,
    forward,
    images_for,
    listed,
)

# State tensors for each parameter; optimizers of Adam's family have 2.
OPTIMIZER_STATES = {'SGD': 1}


@dataclass(frozen=True)
class Training:
    """Estimated memory of a training step in one process, in bytes.

    ``activations`` is what autograd keeps for the backward pass, if drop path drops no
    sample and there are as many positive proposals as the sampler allows. It does not
    include the losses of detectors and their targets, workspaces of kernels, buffers of
    distributed training, and the CUDA context.
    """

    batch_size: int
    shape: tuple[int, int]  # height, width of the images, pixels
    amp: str | None  # dtype of mixed precision
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of all, as if all activations and gradients existed at once."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate_training(
    cfg: Config, shape: tuple[int, int], device: str = 'cuda'
) -> Training:
    """Estimate the memory of a training step.

    Args:
        cfg: The config, of which model, batch size, optimizer and mixed precision
            matter.
        shape: Height and width of the images in pixels.
        device: The device of the training, which need not exist on this machine. It
            decides which operations mixed precision lowers.
    """
    batch = cfg.train_dataloader.batch_size
    amp = None
    if cfg.optim_wrapper.get('type', '').endswith('AmpOptimWrapper'):
        amp = cfg.optim_wrapper.get('dtype', 'float16')
    # In training, BatchNorm on maps of 1 x 1 does not accept a single image.
    counted = max(2, batch)
    with fake_model(cfg, device) as model:
        model.train()
        for module in model.modules():
            if isinstance(module, Block):
                module.drop_path_rate = 0.0
        saved = SavedBytes(model)
        with saved, _autocast(device, amp):
            images = images_for(model, counted, shape)
            _training_forward(model, images, cfg.model.get('train_cfg') or {})
        sizes = [(p.numel() * p.element_size(), p) for p in model.parameters()]
        gradients = sum(size for size, p in sizes if p.requires_grad)
        activations = saved.total * batch // counted
    return Training(
        batch_size=batch,
        shape=shape,
        amp=amp,
        weights=sum(size for size, _ in sizes),
        gradients=gradients,
        optimizer=gradients * OPTIMIZER_STATES.get(cfg.optim_wrapper.optimizer.type, 2),
        activations=activations,
    )


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that autograd saves: each storage once, and no parameters.

    Args:
        model: Its parameters are not counted.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(self._pack, lambda tensor: tensor)
        self.parameters = {_storage(p) for p in model.parameters()}
        self.saved: dict[int, Tensor] = {}  # held, so that no address is reused

    def _pack(self, tensor: Tensor) -> Tensor:
        if _storage(tensor) not in self.parameters:
            self.saved[_storage(tensor)] = tensor
        return tensor

    @property
    def total(self) -> int:
        """The bytes that have been saved so far."""
        return sum(t.untyped_storage().nbytes() for t in self.saved.values())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def _autocast(device: str, dtype: str | None) -> Iterator[None]:
    """Turn mixed precision on, even for a device that does not exist here.

    torch.autocast refuses such a device.
    """
    if dtype is not None:
        torch.set_autocast_dtype(device, getattr(torch, dtype))
        torch.set_autocast_enabled(device, True)
    try:
        yield
    finally:
        torch.set_autocast_enabled(device, False)
        torch.clear_autocast_cache()


def _training_forward(model: BaseModel, images: Tensor, train_cfg: dict) -> None:
    """Run what a training step runs, but for the losses of detectors."""
    if hasattr(model, 'decode_head'):
        features = model.extract_feat(images)
        size = images.shape[-2:]
        labels = images.new_zeros(len(images), *size, dtype=torch.long)
        heads = [*listed(model.decode_head)]
        if model.with_auxiliary_head:
            heads += listed(model.auxiliary_head)
        for head in heads:
            logits = F.interpolate(head(features), size, mode='bilinear')
            F.cross_entropy(logits, labels)
        return
    rcnn = train_cfg.get('rcnn')
    boxes = masks = 0
    if rcnn:
        sampler = (rcnn[0] if isinstance(rcnn, list) else rcnn).sampler
        boxes = len(images) * sampler.num
        masks = int(boxes * sampler.pos_fraction)
    forward(model, images, boxes, masks)
