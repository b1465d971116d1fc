"""What an ``init_cfg`` of the backbone says about where its weights come from."""

from mmengine.model import PretrainedInit

from convnext_backbone.foundation.errors import UserError

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

    Raises:
        UserError: A part is not a dict with a type, or 'Pretrained' names no file.
    """
    given = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    configs = [_replace_pretrained(_checked(cfg)) for cfg in given if cfg]
    return sorted(configs, key=lambda cfg: cfg['type'] == CHECKPOINT_INIT)


def _checked(init_cfg: object) -> dict:
    if not isinstance(init_cfg, dict):
        raise UserError(
            f'the backbone has init_cfg={init_cfg!r}: expected a dict with a type, or '
            f'a list of them'
        )
    if not init_cfg.get('type'):
        raise UserError(
            f'the backbone has init_cfg={init_cfg!r}, which has no type: to start '
            f'from a checkpoint write dict(type={CHECKPOINT_INIT!r}, source=...)'
        )
    return init_cfg


def _replace_pretrained(init_cfg: dict) -> dict:
    if init_cfg['type'] not in MMENGINE_PRETRAINED:
        return init_cfg
    if not isinstance(init_cfg.get('checkpoint'), str):
        raise UserError(
            f'the backbone has init_cfg={init_cfg!r}, which has no checkpoint: name '
            f'the file, as in dict(type="Pretrained", checkpoint="weights.pth")'
        )
    prefix = (init_cfg.get('prefix') or '').rstrip('.')
    source = init_cfg['checkpoint'] + (f'#{prefix}' if prefix else '')
    return dict(type=CHECKPOINT_INIT, source=source)
