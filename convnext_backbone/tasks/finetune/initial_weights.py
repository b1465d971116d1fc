"""Which weights a fine-tuning starts from, unless the user names some."""

from pathlib import Path

from mmengine.config import Config

from convnext_backbone.backbone.init_cfg import CHECKPOINT_INIT, init_configs
from convnext_backbone.checkpoints import fetch
from convnext_backbone.foundation.errors import UserError

SIZES = {'t': 'tiny', 's': 'small', 'b': 'base', 'l': 'large', 'xl': 'xlarge'}

# Config -> the whole model that Meta trained with it, heads included.
WHOLE_MODELS = {
    'mask_convnext_t_coco': 'coco/mask_rcnn_convnext_tiny_1k_3x',
    **{
        f'cascade_convnext_{s}_coco': (
            f'coco/cascade_mask_rcnn_convnext_{SIZES[s]}_1k_3x'
        )
        for s in ('t', 's', 'b')
    },
    **{
        f'cascade_convnext_{s}_in22k_coco': (
            f'coco/cascade_mask_rcnn_convnext_{SIZES[s]}_22k_3x'
        )
        for s in ('b', 'l', 'xl')
    },
    **{
        f'upernet_convnext_{s}_ade20k': (
            f'ade20k/upernet_convnext_{SIZES[s]}_1k_512x512'
        )
        for s in ('t', 's', 'b')
    },
    **{
        f'upernet_convnext_{s}_in22k_640_ade20k': (
            f'ade20k/upernet_convnext_{SIZES[s]}_22k_640x640'
        )
        for s in ('b', 'l', 'xl')
    },
}
FROM_TIMM = ('atto', 'femto', 'pico', 'nano')  # V1 sizes that Meta did not publish


def default_weights(base: Config) -> tuple[str, str] | None:
    """Return what to start from: of the whole model if there is that, else ImageNet's.

    Args:
        base: The config that is fine-tuned.

    Returns:
        ('model' or 'backbone', source); None for another backbone than ours, which
        starts from what its config says.
    """
    whole = WHOLE_MODELS.get(Path(base.filename).stem)
    if whole is not None:
        return 'model', f'meta://{whole}'
    backbone = base.model.get('backbone') or {}
    for part in init_configs(backbone.get('init_cfg')):
        if part['type'] == CHECKPOINT_INIT:
            return 'backbone', part['source']
    arch = backbone.get('arch', 'tiny')
    ours = backbone.get('type') in ('ConvNeXt', 'convnext_backbone.ConvNeXt')
    if not ours or not isinstance(arch, str):
        return None
    if backbone.get('use_grn'):
        return 'backbone', f'meta://convnextv2_{arch}_1k_224_ema'
    if arch in FROM_TIMM:
        return 'backbone', f'timm://convnext_{arch}'
    return 'backbone', f'meta://convnext_{arch}_1k_224'


def fetch_weights(source: str) -> None:
    """Get weights now, to hear of it at once when they cannot be had.

    Raises:
        UserError: They cannot; the message states the ways out.
    """
    try:
        fetch(source)
    except UserError as error:
        raise type(error)(
            f'{error}. Fine-tuning starts from these weights: give others with --init '
            f'(a file, a work dir, a URL), or train from random ones with '
            f'--from-scratch, which takes more data and time'
        ) from error
