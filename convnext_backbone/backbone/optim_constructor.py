"""The optimizer constructor: parameter groups whose learning rate falls with depth."""

import inspect
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_CONSTRUCTORS
from mmengine.registry import OPTIMIZERS
from torch import nn

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.backbone.group_table import Group, group_table
from convnext_backbone.backbone.layer_decay import DECAY_TYPES, check_known, num_layers
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.registry import OPTIM_WRAPPER_CONSTRUCTORS

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
            UserError: An option is missing, unknown or out of range.
        """
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        cfg = self.paramwise_cfg
        check_known(cfg, (*_OWN_OPTIONS, *_DEFAULT_OPTIONS), 'paramwise_cfg')
        self.decay_rate = _checked_rate(cfg.get('decay_rate'))
        self.decay_type = cfg.get('decay_type', 'layer_wise')
        check_known([self.decay_type], DECAY_TYPES, 'paramwise_cfg.decay_type')
        if not self.base_lr:
            raise UserError(
                f'the optimizer must state a learning rate to decay from, got '
                f'lr={self.base_lr}: set optim_wrapper.optimizer.lr'
            )
        self.custom_keys = cfg.get('custom_keys') or {}
        known = {'lr_mult', 'decay_mult', *_optimizer_arguments(self.optimizer_cfg)}
        for key, options in self.custom_keys.items():
            check_known(options, known, f'paramwise_cfg.custom_keys[{key!r}]')

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
            UserError: There is no ConvNeXt, ``num_layers`` is not its own, or
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
            table = group_table([*map(_describe, ordered), *_frozen(module)])
            logger.info(f'Learning-rate decay: {summary}\n{table}')
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
                raise UserError(
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
        raise UserError(
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


def _checked_rate(rate: object) -> float:
    if (
        not isinstance(rate, int | float)
        or isinstance(rate, bool)
        or not 0 < rate < math.inf
    ):
        raise UserError(
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


def _describe(group: dict) -> Group:
    return Group(
        group['group_name'],
        group.get('lr_scale'),
        group.get('lr'),
        group.get('weight_decay'),
        len(group['params']),
        sum(param.numel() for param in group['params']),
    )


def _frozen(model: nn.Module) -> Iterator[Group]:
    """Yield what the optimizer leaves alone, if there is anything."""
    sizes = [p.numel() for p in model.parameters() if not p.requires_grad]
    if sizes:
        yield Group('frozen', None, None, None, len(sizes), sum(sizes))
