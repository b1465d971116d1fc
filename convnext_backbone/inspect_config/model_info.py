"""What a config's model costs: parameters, FLOPs, activations, training memory.

The model is built of FakeTensors, which have a shape and no values: no weight is
loaded, nothing is computed, and the largest model takes seconds. Only a model with
deformable attention, whose shapes depend on values, is really run, on the CPU.

FLOPs and activations are those of one image, counted as ``op_counter.py`` says. As in
the published figures, a two-stage detector has 1000 proposals in every box head and 100
in every mask head, and an auxiliary head, which only training uses, has no FLOPs.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.inspect_config.fake_models import fake_model, forward, images_for
from convnext_backbone.inspect_config.op_counter import OpCounter
from convnext_backbone.inspect_config.training_memory import Training, estimate_training

BOXES, MASKS = 1000, 100  # proposals of the published counts
DET_SHAPE = (800, 1280)
MIN_SIDE = 32
PROBE = 256  # side of the image that the strides are measured on, pixels


@dataclass(frozen=True)
class Part:
    """Costs of one child of the model, such as its backbone or its neck."""

    name: str
    params: int
    flops: int
    activations: int


@dataclass(frozen=True)
class ModelInfo:
    """Costs of a config's model; ``training`` is None where it is not estimated."""

    config: str
    shape: tuple[int, int]  # height, width of the image that is counted, pixels
    params: int
    flops: int
    activations: int
    parts: tuple[Part, ...]
    strides: tuple[int, ...]  # of the feature maps that the backbone returns, pixels
    channels: tuple[int, ...]
    training: Training | None

    def as_dict(self) -> dict:
        """Return all values for JSON, with the total of ``training``."""
        result = asdict(self)
        if self.training:
            result['training']['total'] = self.training.total
        return result


def model_info(
    cfg: Config, name: str, shape: tuple[int, int] | None = None, training: bool = True
) -> ModelInfo:
    """Count what the model of a config costs.

    Args:
        cfg: A checked config; it is not changed.
        name: The config's name in the result.
        shape: Height and width of the image in pixels. By default that of the
            published counts: 800 x 1280 for detectors and, for segmentors, the crop's
            height x 4 times that. The training memory of a segmentor is then estimated
            at the crop itself.
        training: Whether to estimate the memory of a training step, if the config has
            one and the model can be built of FakeTensors.

    Raises:
        UserError: The shape is smaller than the stride of the last stage.
    """
    if shape is not None and min(shape) < MIN_SIDE:
        raise UserError(
            f'--shape {shape[0]} {shape[1]}: height and width must be at least '
            f'{MIN_SIDE} pixels, the stride of the last stage'
        )
    train_shape = counted = shape or DET_SHAPE
    if shape is None and 'decode_head' in cfg.model:
        train_shape = tuple(cfg.model.data_preprocessor.get('size') or (512, 512))
        counted = (train_shape[0], 4 * train_shape[0])
    with fake_model(cfg) as model:
        is_real = any(
            isinstance(m, MultiScaleDeformableAttention) for m in model.modules()
        )
        if not is_real:
            parts, maps = _count(model, counted)
    if is_real:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            parts, maps = _count(MODELS.build(copy.deepcopy(cfg.model)), counted)
    has_training = cfg.get('train_dataloader') and cfg.get('optim_wrapper')
    return ModelInfo(
        config=name,
        shape=counted,
        params=sum(part.params for part in parts),
        flops=sum(part.flops for part in parts),
        activations=sum(part.activations for part in parts),
        parts=parts,
        strides=tuple(PROBE // m.shape[-1] for m in maps),
        channels=tuple(m.shape[1] for m in maps),
        training=(
            estimate_training(cfg, train_shape)
            if training and has_training and not is_real
            else None
        ),
    )


def _count(
    model: BaseModel, shape: tuple[int, int]
) -> tuple[tuple[Part, ...], Sequence[Tensor]]:
    """Count the parts of a model on one image of a shape.

    Returns:
        The parts, and the backbone's feature maps of a PROBE x PROBE image.
    """
    model.eval()
    with torch.no_grad():
        maps = model.backbone(images_for(model, 1, (PROBE, PROBE)))
        with OpCounter(model, child_of) as counter:
            forward(model, images_for(model, 1, shape), BOXES, MASKS)
    params: Counter[str] = Counter()
    for name, value in model.named_parameters():
        params[child_of(name) if '.' in name else 'model'] += value.numel()
    parts = tuple(
        Part(name, params[name], counter.flops[name], counter.activations[name])
        for name in dict.fromkeys([*params, *counter.flops])
    )
    return parts, maps


def child_of(name: str) -> str:
    """Return the model's child that a module or parameter of this name belongs to."""
    return name.split('.')[0]


def describe(info: ModelInfo) -> str:
    """Write the costs of a model as text for a terminal."""
    height, width = info.shape
    rows = [(p.name, p.params, p.flops, p.activations) for p in info.parts]
    rows.append(('total', info.params, info.flops, info.activations))
    maps = zip(info.strides, info.channels, strict=True)
    lines = [
        f'{info.config}, one image of {height} x {width}, FLOPs are multiply-adds',
        f'  {"part":24}{"params M":>10}{"FLOPs G":>10}{"activations M":>15}',
        *(
            f'  {name:24}{params / 1e6:10.2f}{flops / 1e9:10.1f}{outputs / 1e6:15.1f}'
            for name, params, flops, outputs in rows
        ),
        '  backbone emits '
        + ', '.join(f'{c} channels at stride {stride}' for stride, c in maps),
    ]
    if info.training is None:
        return '\n'.join([*lines, '  memory of a training step: not estimated'])
    step = info.training
    height, width = step.shape
    names = ('weights', 'gradients', 'optimizer', 'activations')
    sizes = (f'{name} {getattr(step, name) / 2**30:.2f}' for name in names)
    lines += [
        f'  training step of {step.batch_size} x {height} x {width}, '
        f'{f"AMP {step.amp}" if step.amp else "no AMP"}: about '
        f'{step.total / 2**30:.1f} GiB, an estimate: {", ".join(sizes)}'
    ]
    return '\n'.join(lines)
