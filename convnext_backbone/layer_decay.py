"""Learning rates that fall with depth, as ConvNeXt's published recipes have them.

A parameter's learning rate is scaled by ``decay_rate ** (n + 1 - id)``. The id is
its place between the stem (0) and the heads (n + 1, scale 1); n follows from the
backbone's depths. Sources: facebookresearch/ConvNeXt, object_detection for
``layer_wise`` and semantic_segmentation for ``stage_wise``, whose numbers mmdet's and
mmseg's ports share; BEiT's count of blocks for ``block_wise``.
"""

import inspect
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_CONSTRUCTORS
from mmengine.registry import OPTIMIZERS
from torch import nn

from convnext_backbone.convnext import ConvNeXt
from convnext_backbone.registry import OPTIM_WRAPPER_CONSTRUCTORS

# Components that wrappers (DDP, torch.compile, FSDP, checkpointing) put into names.
_WRAPPERS = re.compile(
    r'(?<![^.])'
    r'(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.'
)
_INSIDE_BACKBONE = re.compile(
    r'(?:(?:.+\.)?backbone\.)?'
    r'(?:(?P<part>downsample_layers|stages)\.(?P<stage>\d+)\.(?P<index>\d+)\.'
    r'|(?:cls_token|mask_token|pos_embed)$)'
)


def num_layers(depths: Sequence[int], decay_type: str = 'layer_wise') -> int:
    """Count the steps of a backbone: n in ``decay_rate ** (n + 1 - id)``.

    ``layer_wise`` and ``stage_wise`` share the published count, one step for each
    stage but stage 2, which has one for every three blocks: 6 for ConvNeXt-T, 12 for
    S to XL. ``block_wise`` has one for each block: 18 for T, 36 for S to XL.

    Raises:
        ValueError: The published types are not defined for ``depths`` of other than
            four stages; or ``decay_type`` is unknown.
    """
    _check_known([decay_type], DECAY_TYPES, 'decay_type')
    if decay_type == 'block_wise':
        return sum(depths)
    if len(depths) != 4:
        raise ValueError(
            f"decay_type='{decay_type}' is defined for four stages only, got depths "
            f"{tuple(depths)}: use decay_type='block_wise'"
        )
    return 3 + math.ceil(depths[2] / 3)


def layer_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter as the detection recipes do (``layer_wise``).

    The stem is 0, stage 0 is 1, stage 1 with its downsample layer 2, stage 2 counts
    up from 3 every three blocks, the last stage with its downsample layer is n, and
    everything else (heads, the ``norm{i}`` of emitted stages) n + 1.

    Args:
        name: The parameter's name, in the backbone (``stages.0.0.gamma``) or in the
            model, where the backbone's prefix ends in ``backbone.``
            (``teacher.backbone.stages.0.0.gamma``). Components that wrappers add
            (``module.``, ``_orig_mod.``) count for nothing. Any other name is a
            head's: ``decode_head.stages.0.0.weight``.
        depths: Blocks of each of the four stages.

    Raises:
        ValueError: ``depths`` has not four stages, or lacks the block named.
    """
    last = num_layers(depths, 'layer_wise')
    place = _locate(name, depths)
    if place is None:
        return last + 1
    stage, block = place
    if stage == 0:
        return 0 if block is None else 1
    if stage == 1:
        return 2
    if stage == 2:
        return 3 + (block or 0) // 3
    return last


def stage_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter as the segmentation recipes do (``stage_wise``).

    All downsample layers are 0, the blocks of stage i are i + 1, everything else is
    n + 1, so that n only sets the gap between backbone and heads. Names, arguments
    and errors are those of ``layer_id``.
    """
    last = num_layers(depths, 'stage_wise')
    place = _locate(name, depths)
    if place is None:
        return last + 1
    stage, block = place
    return 0 if block is None else stage + 1


def block_id(name: str, depths: Sequence[int]) -> int:
    """Place a parameter by its block, as is usual for ViTs (``block_wise``).

    The stem is 0, the blocks of all stages count up from 1, a downsample layer goes
    with the block it feeds, everything else is ``sum(depths) + 1``. Works for any
    number of stages. Names, arguments and errors are those of ``layer_id``.
    """
    place = _locate(name, depths)
    if place is None:
        return num_layers(depths, 'block_wise') + 1
    stage, block = place
    if stage == 0 and block is None:
        return 0
    return 1 + sum(depths[:stage]) + (block or 0)


DECAY_TYPES = {
    'layer_wise': layer_id,
    'stage_wise': stage_id,
    'block_wise': block_id,
}
_OWN_OPTIONS = ('decay_rate', 'decay_type', 'num_layers')
_DEFAULT_OPTIONS = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)
_MATCHED = 'matched_custom_key'


def _locate(name: str, depths: Sequence[int]) -> tuple[int, int | None] | None:
    """Return (stage, block), block None for a downsample layer; None if outside."""
    match = _INSIDE_BACKBONE.match(_WRAPPERS.sub('', name))
    if match is None:
        return None
    if match['part'] is None:
        return 0, None
    stage = int(match['stage'])
    block = int(match['index']) if match['part'] == 'stages' else None
    if stage >= len(depths) or (block or 0) >= depths[stage]:
        raise ValueError(
            f'{name!r} does not exist in a backbone of depths {tuple(depths)}: '
            'pass the depths of the backbone that the parameter comes from'
        )
    return stage, block


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives every parameter of a model with a ConvNeXt its decayed learning rate.

    Backbones are found by their type, wherever they are and whatever wraps them;
    each decays by its own depths. Weight decay is 0 for one-dimensional parameters,
    biases, and the gamma and beta of GRN, in the heads too. Frozen parameters land
    in no group, and a parameter that modules share lands in one, as of the backbone
    if a backbone holds it.

    All options of mmengine's default constructor work on top, by its own code:

    ===================================  =======================================
    option that covers a parameter       effect
    ===================================  =======================================
    ``lr_mult`` in ``custom_keys``,      multiplies the decayed learning rate
    ``bias_lr_mult``,
    ``dcn_offset_lr_mult``
    ``decay_mult`` in ``custom_keys``,   replaces the rule above, so that
    ``norm_``, ``bias_``, ``flat_``,     ``norm_decay_mult=1`` makes norms decay
    ``dwconv_decay_mult``
    custom key without ``decay_mult``    leaves the rule above in force
    other entries of a custom key        become options of the group, as
                                         ``betas`` for AdamW; an absolute ``lr``
                                         is decayed too
    ``bypass_duplicate``                 accepted; always in force
    ===================================  =======================================

    GRN is no norm layer to mmengine: name it in ``custom_keys`` to make it decay.

    Groups are ordered from stem to heads. Each has a ``group_name`` such as
    ``layer_03.no_decay``, and ``lr_scale``, the factor that depth gives. Backbones
    of different depth are numbered so that they meet at the heads.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        """Check the options.

        Args:
            optim_wrapper_cfg: Config of the optimizer wrapper. Its ``optimizer``
                must state ``lr``, the learning rate of the heads.
            paramwise_cfg: ``decay_rate`` (required; above 1, early layers learn
                faster), ``decay_type`` (``'layer_wise'``, ``'stage_wise'`` or
                ``'block_wise'``; default ``'layer_wise'``), ``num_layers`` (derived
                from the backbone; checked if given), and any option of mmengine's
                ``DefaultOptimWrapperConstructor``.

        Raises:
            ValueError: An option is missing, unknown or out of range.
        """
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        cfg = self.paramwise_cfg
        _check_known(cfg, (*_OWN_OPTIONS, *_DEFAULT_OPTIONS), 'paramwise_cfg')
        self.decay_rate = _checked_rate(cfg.get('decay_rate'))
        self.decay_type = cfg.get('decay_type', 'layer_wise')
        _check_known([self.decay_type], DECAY_TYPES, 'paramwise_cfg.decay_type')
        if not self.base_lr:
            raise ValueError(
                f'the optimizer must state a learning rate to decay from, got '
                f'lr={self.base_lr}: set optim_wrapper.optimizer.lr'
            )
        self.custom_keys = cfg.get('custom_keys') or {}
        known = {'lr_mult', 'decay_mult', *_optimizer_arguments(self.optimizer_cfg)}
        for key, options in self.custom_keys.items():
            _check_known(options, known, f'paramwise_cfg.custom_keys[{key!r}]')

        # mmengine's own code applies its options (delegated to, not inherited: it calls
        # itself for every child module). The mark tells which key a parameter matched.
        delegated = {k: v for k, v in cfg.items() if k in _DEFAULT_OPTIONS}
        delegated['custom_keys'] = {
            key: {**options, _MATCHED: key} for key, options in self.custom_keys.items()
        }
        self._default = DefaultOptimWrapperConstructor(optim_wrapper_cfg, delegated)

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Append the parameter groups of a whole model, and log them as one table.

        Arguments are those of the overridden method; ``module`` is the whole model.

        Raises:
            ValueError: There is no ConvNeXt, ``num_layers`` is not its own, or
                ``decay_type`` is not defined for its number of stages.
        """
        backbones = _find_backbones(module)
        steps_below_head, summary = self._count_steps(backbones)
        head = max(steps_below_head.values())
        names = {id(param): name for name, param in module.named_parameters()}

        logger = MMLogger.get_current_instance()
        settings: list[dict] = []
        with _muted(logger):
            self._default.add_params(settings, module, prefix, is_dcn_module)

        groups: dict[tuple, dict] = {}
        matched = set()
        for setting in settings:
            (param,) = setting.pop('params')
            matched.add(setting.get(_MATCHED))
            name = names.pop(id(param), None)
            if name is None:  # shared, and in a group already
                continue
            steps = steps_below_head.get(id(param), 0)
            group = self._decay(setting, name, param, steps, head - steps)
            key = (head - steps, group['group_name'], repr(group))
            groups.setdefault(key, {'params': [], **group})['params'].append(param)
        ordered = [groups[key] for key in sorted(groups)]
        params.extend(ordered)

        if is_main_process():
            frozen = [p for p in module.parameters() if not p.requires_grad]
            logger.info(f'Learning-rate decay: {summary}\n{_table(ordered, frozen)}')
            for key in sorted(set(self.custom_keys) - matched):
                logger.warning(
                    f'custom_keys: {key!r} decides over no trainable parameter; is '
                    'it misspelt, frozen, or hidden by a longer key?'
                )

    def _count_steps(self, backbones: dict[str, ConvNeXt]) -> tuple[dict, str]:
        """Map the id() of backbone parameters to n + 1 - id, and say so in words."""
        given = self.paramwise_cfg.get('num_layers')
        place = DECAY_TYPES[self.decay_type]
        steps = {}
        summary = f'{self.decay_type}, rate {self.decay_rate:g}'
        for where, backbone in backbones.items():
            depths = tuple(backbone.depths)
            last = num_layers(depths, self.decay_type)
            if given not in (None, last):
                raise ValueError(
                    f'paramwise_cfg: num_layers={given!r}, but {where or "the model"} '
                    f'of depths {depths} has num_layers={last} for {self.decay_type}: '
                    'leave num_layers out, it is derived from the backbone'
                )
            for name, param in backbone.named_parameters():
                steps[id(param)] = last + 1 - place(name, depths)
            summary += f'; {where or "model"}: depths {depths}, num_layers {last}'
        return steps, summary

    def _decay(
        self, setting: dict, name: str, param: nn.Parameter, steps: int, layer: int
    ) -> dict[str, Any]:
        """Turn what mmengine's constructor set for a parameter into its group."""
        custom = self.custom_keys.get(setting.pop(_MATCHED, None))
        explicit = 'weight_decay' in setting and (
            custom is None or 'decay_mult' in custom or 'weight_decay' in custom
        )
        if not explicit and _is_exempt(name, param):
            setting['weight_decay'] = 0.0
        elif self.base_wd is not None:
            setting.setdefault('weight_decay', self.base_wd)
        weight_decay = setting.pop('weight_decay', None)
        lr = setting.pop('lr', self.base_lr)
        # The multipliers are spent; what is left are arguments of the optimizer.
        spent = ('lr_mult', 'decay_mult')
        others = {k: v for k, v in sorted(setting.items()) if k not in spent}

        group_name = f'layer_{layer:02d}'
        group_name += '.no_decay' if weight_decay == 0 else '.decay'
        if weight_decay not in (0, self.base_wd):
            group_name += f'_{weight_decay:g}'
        if lr != self.base_lr:
            group_name += f'.lr_x{lr / self.base_lr:g}'
        group_name += ''.join(f'.{key}={value}' for key, value in others.items())

        scale = self.decay_rate**steps
        if weight_decay is not None:
            others['weight_decay'] = weight_decay
        return {'group_name': group_name, 'lr_scale': scale, 'lr': scale * lr, **others}


# Other packages (mmpose, the examples of mmengine's own manual) use the same name in
# the root registry. Whoever has it keeps it; the scoped name is always ours.
if LayerDecayOptimWrapperConstructor.__name__ not in ROOT_CONSTRUCTORS.module_dict:
    ROOT_CONSTRUCTORS.register_module(module=LayerDecayOptimWrapperConstructor)


def _is_exempt(name: str, param: nn.Parameter) -> bool:
    """Whether a parameter has no weight decay unless an option says otherwise."""
    return (
        param.ndim == 1
        or name in ('pos_embed', 'cls_token')
        or name.endswith(('.bias', 'grn.gamma', 'grn.beta'))
    )


def _find_backbones(model: nn.Module) -> dict[str, ConvNeXt]:
    """Map names to the ConvNeXts that train, or to all if every one is frozen."""
    modules = model.named_modules()
    backbones = {name: m for name, m in modules if isinstance(m, ConvNeXt)}
    if not backbones:
        found = type(getattr(model, 'backbone', model))
        raise ValueError(
            f'layer decay found no ConvNeXt: the backbone of {type(model).__name__} is '
            f'{found.__module__}.{found.__qualname__}. Set '
            "model.backbone.type='convnext_backbone.ConvNeXt', or choose another "
            'optimizer constructor'
        )
    training = {
        name: m
        for name, m in backbones.items()
        if any(param.requires_grad for param in m.parameters())
    }
    return training or backbones


def _check_known(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    for key in keys:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise ValueError(
                f'{where}: expected {", ".join(sorted(known))}, got {key!r}{hint}'
            )


def _checked_rate(rate: float | None) -> float:
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 < rate < math.inf:
        raise ValueError(
            'paramwise_cfg: decay_rate must be a number above 0, usually between 0.7 '
            f'and 1, got {rate!r}: set paramwise_cfg=dict(decay_rate=..., '
            "decay_type='layer_wise')"
        )
    return rate


def _optimizer_arguments(optimizer_cfg: dict) -> set[str]:
    """Names that a parameter group of this optimizer understands."""
    optimizer = optimizer_cfg['type']
    if isinstance(optimizer, str):
        with OPTIMIZERS.switch_scope_and_registry(None) as registry:
            optimizer = registry.get(optimizer)
    # mmengine reports an unknown optimizer when it builds it.
    return set() if optimizer is None else set(inspect.signature(optimizer).parameters)


@contextmanager
def _muted(logger: MMLogger) -> Iterator[None]:
    """Drop mmengine's line per parameter and its warning per frozen parameter."""

    def is_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger.addFilter(is_error)
    try:
        yield
    finally:
        logger.removeFilter(is_error)


def _table(groups: list[dict], frozen: list[nn.Parameter]) -> str:
    """Lay out groups as text, one line each, with what is frozen at the end."""
    width = max(len(group['group_name']) for group in groups)
    line = f'{{:<{width}}} {{:>9}} {{:>10}} {{:>13}} {{:>8}} {{:>12}}'.format
    lines = [line('group', 'lr_scale', 'lr', 'weight decay', 'tensors', 'parameters')]
    still = [{'group_name': 'frozen', 'params': frozen}] if frozen else []
    for group in groups + still:
        numbers = (group.get(key) for key in ('lr_scale', 'lr', 'weight_decay'))
        lines.append(
            line(
                group['group_name'],
                *('-' if number is None else f'{number:.4g}' for number in numbers),
                len(group['params']),
                f'{sum(param.numel() for param in group["params"]):,}',
            )
        )
    return '\n'.join(lines)
