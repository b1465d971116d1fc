"""Which weights a fine-tuning starts from, unless the user names some."""

from pathlib import Path

from mmengine.config import Config

from convnext_backbone.checkpoints import CheckpointRef
from convnext_backbone.config.parts import is_ours
from convnext_backbone.tasks.initial_weights import InitialWeights, initial_weights

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


def default_weights(base: Config) -> InitialWeights | None:
    """Return what to start from: a whole model if there is one, else ImageNet's.

    Args:
        base: The config that is fine-tuned.

    Returns:
        None for a backbone that is not ours and whose config names no weights.

    Raises:
        UserError: A source in the config is malformed.
    """
    whole = WHOLE_MODELS.get(Path(base.filename).stem)
    if whole is not None:
        return InitialWeights('model', CheckpointRef.parse(f'meta://{whole}'))
    stated = initial_weights(base)
    if stated:
        return stated[0]
    source = _pretrained(base.model.get('backbone') or {})
    if source is None:
        return None
    return InitialWeights('backbone', CheckpointRef.parse(source))


def _pretrained(backbone: dict) -> str | None:
    """Return the published weights of a backbone of ours, None if it has no name."""
    arch = backbone.get('arch', 'tiny')
    if not is_ours(backbone) or not isinstance(arch, str):
        return None
    if backbone.get('use_grn'):
        return f'meta://convnextv2_{arch}_1k_224_ema'
    if arch in FROM_TIMM:
        return f'timm://convnext_{arch}'
    return f'meta://convnext_{arch}_1k_224'
