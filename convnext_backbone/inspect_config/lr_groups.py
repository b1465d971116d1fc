"""The parameter groups of a config: learning rate, weight decay, parameters."""

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from convnext_backbone.backbone.group_table import Group
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.inspect_config.fake_models import meta_model
from convnext_backbone.openmmlab.amp import without_amp


def build_groups(cfg: Config) -> list[Group]:
    """Build a config's model and optimizer, and describe the parameter groups.

    The groups are ordered from the stem to the heads. No weights are downloaded or
    initialised.

    Raises:
        UserError: The config has no optimizer.
    """
    if 'optim_wrapper' not in cfg:
        raise UserError(
            f'config {cfg.filename} has no optim_wrapper, so there are no learning '
            f'rates to show: give a config for training'
        )
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = meta_model(cfg)
    # The AMP wrapper would need a GPU.
    wrapper = {**without_amp(cfg.optim_wrapper), 'type': 'OptimWrapper'}
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')  # the constructor logs a table of the same groups
    try:
        optimizer = build_optim_wrapper(model, wrapper).optimizer
    finally:
        logger.setLevel(level)
    merged: dict[tuple, list] = {}
    base = optimizer.defaults['lr']
    for group in optimizer.param_groups:
        key = (group.get('group_name'), group['lr'], group.get('weight_decay', 0.0))
        merged.setdefault(key, []).extend(group['params'])
    return [
        Group(
            name or f'group_{number}',
            lr / base if base else 1.0,
            lr,
            decay,
            len(params),
            sum(p.numel() for p in params),
        )
        for number, ((name, lr, decay), params) in enumerate(merged.items())
    ]
