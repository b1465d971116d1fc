"""What a config's model costs: parameters, FLOPs, activations, training memory.

The model is built of FakeTensors, which have a shape and no values: no weight is
loaded, nothing is computed, and the largest model takes seconds. Only a model with
deformable attention, whose shapes depend on values, runs for real, on the CPU.

FLOPs are multiply-adds of convolutions, depthwise ones too, and of matrix products
(linear layers, attention), for one image, as the papers count. Not counted are biases,
norms (LayerNorm, BatchNorm, GRN), activation functions, layer scale, softmax,
additions, resizing, pooling, RoIAlign, deformable sampling and NMS. As in the
published figures, a two-stage detector has 1000 proposals in every box head and 100 in
every mask head, and an auxiliary head, which only training uses, has no FLOPs.

Activations are the elements that the counted operations put out.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.inspect_config.fake_models import fake_model, forward, images_for
from convnext_backbone.inspect_config.training_memory import Training, estimate_training

CONVNEXT = 'arXiv 2201.03545'
CONVNEXT_V2 = 'arXiv 2301.00808'
SWIN = 'arXiv 2103.14030'
# config: parameters in M (None: not stated), FLOPs in G, source
PUBLISHED: dict[str, tuple[int | None, int, str]] = {
    'det/mask_convnext_t_coco': (48, 262, CONVNEXT),
    'det/cascade_convnext_t_coco': (86, 741, CONVNEXT),
    'det/cascade_convnext_s_coco': (108, 827, CONVNEXT),
    'det/cascade_convnext_b_coco': (146, 964, CONVNEXT),
    'det/cascade_convnext_b_in22k_coco': (146, 964, CONVNEXT),
    'det/cascade_convnext_l_in22k_coco': (255, 1354, CONVNEXT),
    'det/cascade_convnext_xl_in22k_coco': (407, 1898, CONVNEXT),
    'det/mask_convnextv2_b_coco': (None, 486, CONVNEXT_V2),
    'det/mask_convnextv2_l_coco': (None, 875, CONVNEXT_V2),
    'det/mask_convnextv2_h_coco': (None, 2525, CONVNEXT_V2),
    'det/mask_swin_t_coco': (48, 267, SWIN),
    'det/cascade_r50_coco': (82, 739, CONVNEXT),
    'det/cascade_swin_t_coco': (86, 745, CONVNEXT),
    'det/cascade_swin_s_coco': (107, 838, CONVNEXT),
    'det/cascade_swin_b_coco': (145, 982, CONVNEXT),
    # Their 1382 leave out attention's two products, 9.3 G; the smaller ones have them.
    'det/cascade_swin_l_in22k_coco': (253, 1382, CONVNEXT),
    'seg/upernet_convnext_t_ade20k': (60, 939, CONVNEXT),
    'seg/upernet_convnext_s_ade20k': (82, 1027, CONVNEXT),
    'seg/upernet_convnext_b_ade20k': (122, 1170, CONVNEXT),
    'seg/upernet_convnext_b_in22k_640_ade20k': (122, 1828, CONVNEXT),
    'seg/upernet_convnext_l_in22k_640_ade20k': (235, 2458, CONVNEXT),
    'seg/upernet_convnext_xl_in22k_640_ade20k': (391, 3335, CONVNEXT),
    'seg/upernet_swin_t_ade20k': (60, 945, SWIN),
}
BOXES, MASKS = 1000, 100  # proposals of the published counts
DET_SHAPE = (800, 1280)
MIN_SIDE = 32
PROBE = 256  # side of the image that tells the backbone's strides


@dataclass(frozen=True)
class Part:
    """Costs of one child of the model, counted as the module says."""

    name: str
    params: int
    flops: int
    activations: int


@dataclass(frozen=True)
class ModelInfo:
    """Costs of a config's model; ``training`` is None where it is not estimated."""

    config: str
    shape: tuple[int, int]  # height, width of the image of the counts, pixels
    params: int
    flops: int
    activations: int
    parts: tuple[Part, ...]
    strides: tuple[int, ...]  # of the maps that the backbone emits, pixels
    channels: tuple[int, ...]
    training: Training | None

    def as_dict(self) -> dict:
        """Everything, with the total of ``training``, as JSON takes it."""
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
        name: What to call it in the result.
        shape: Height and width of the image in pixels. By default that of the
            published counts, 800 x 1280 for detectors and crop x 4 crops for
            segmentors, whose training memory is then estimated at the crop itself.
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
    model: nn.Module, shape: tuple[int, int]
) -> tuple[tuple[Part, ...], Sequence[Tensor]]:
    """Count the parts on one image; also the backbone's maps of a PROBE x PROBE one."""
    model.eval()
    with torch.no_grad():
        maps = model.backbone(images_for(model, 1, (PROBE, PROBE)))
        with _OpCounter(model) as counter:
            forward(model, images_for(model, 1, shape), BOXES, MASKS)
    params: Counter[str] = Counter()
    for name, value in model.named_parameters():
        params[name.split('.')[0] if '.' in name else 'model'] += value.numel()
    parts = tuple(
        Part(name, params[name], counter.flops[name], counter.activations[name])
        for name in dict.fromkeys([*params, *counter.flops])
    )
    return parts, maps


class _OpCounter(TorchDispatchMode):
    """Adds up what runs inside the modules of each child of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.flops: Counter[str] = Counter()
        self.activations: Counter[str] = Counter()
        self.active = ['model']  # children whose modules are running, innermost last
        self.hooks = []
        for name, module in model.named_modules():
            if name:
                self._watch(module, name.split('.')[0])

    def _watch(self, module: nn.Module, part: str) -> None:
        def enter(module: nn.Module, args: tuple) -> None:
            self.active.append(part)

        def leave(module: nn.Module, args: tuple, out: object) -> None:
            self.active.pop()

        self.hooks.append(module.register_forward_pre_hook(enter))
        self.hooks.append(module.register_forward_hook(leave))

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        for hook in self.hooks:
            hook.remove()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> object:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            part = self.active[-1]
            # torch counts a multiply-add as two.
            self.flops[part] += formula(*args, **(kwargs or {}), out_val=out) // 2
            first = out[0] if isinstance(out, tuple) else out
            self.activations[part] += first.numel()
        return out


def markdown_table(rows: Sequence[ModelInfo]) -> str:
    """Write the table of docs/model_zoo.md: published parameters and FLOPs beside ours.

    Args:
        rows: Models whose ``config`` is a name in :data:`PUBLISHED`.
    """
    lines = [
        '| config | params: published | here | FLOPs: published | here | source |',
        '|---|---|---|---|---|---|',
    ]
    for info in rows:
        params, flops, source = PUBLISHED[info.config]
        lines.append(
            f'| [`{info.config}`](../configs/{info.config}.py) | '
            f'{"not stated" if params is None else f"{params} M"} | '
            f'{info.params / 1e6:.1f} M | {flops} G | {info.flops / 1e9:.1f} G | '
            f'{source} |'
        )
    return '\n'.join(lines) + '\n'


def describe(info: ModelInfo) -> str:
    """Write what is known of a model for reading."""
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
