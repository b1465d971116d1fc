"""What an ``init_cfg`` of the backbone says about where its weights come from."""

from mmengine.model import PretrainedInit

CHECKPOINT_INIT = 'convnext_backbone.Checkpoint'
MMENGINE_PRETRAINED = (
    'Pretrained',
    'PretrainedInit',
    'mmengine.Pretrained',
    PretrainedInit,
)


def init_configs(init_cfg: dict | list | None) -> list[dict]:
    """Return an ``init_cfg`` as a list, checkpoints last, as mmengine loads them.

    mmengine's 'Pretrained', which loads nothing in silence, is replaced by ours.
    """
    given = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    configs = [_replace_pretrained(cfg) for cfg in given if cfg]
    return sorted(configs, key=lambda cfg: cfg['type'] == CHECKPOINT_INIT)


def _replace_pretrained(init_cfg: dict) -> dict:
    if init_cfg.get('type') not in MMENGINE_PRETRAINED:
        return init_cfg
    prefix = (init_cfg.get('prefix') or '').rstrip('.')
    source = init_cfg['checkpoint'] + (f'#{prefix}' if prefix else '')
    return dict(type=CHECKPOINT_INIT, source=source)
