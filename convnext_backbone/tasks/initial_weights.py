"""What a training starts from: found in its config, fetched before all else."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from mmengine.config import Config

from convnext_backbone.backbone.init_cfg import CHECKPOINT_INIT, init_configs
from convnext_backbone.checkpoints import CheckpointRef, fetch
from convnext_backbone.config.parts import is_ours
from convnext_backbone.foundation.errors import UserError

# Command -> what the user can do when the weights cannot be had.
WAYS_OUT = {
    'train': (
        "The config's backbone starts from it: give other weights with --init, or "
        'start from random ones with --cfg-options model.backbone.init_cfg=None'
    ),
    'finetune': (
        'Fine-tuning starts from these weights: give others with --init (a file, a '
        'work dir, a URL), or train from random ones with --from-scratch, which takes '
        'more data and time'
    ),
}


class InitialWeights(NamedTuple):
    """A checkpoint that a training starts from.

    Attributes:
        of: What it is loaded into: 'model' for ``load_from``, 'backbone' for the
            backbone's ``init_cfg``.
        reference: Where it comes from.
        foreign: Whether the backbone is not ours, so that mmengine loads it.
    """

    of: Literal['model', 'backbone']
    reference: CheckpointRef
    foreign: bool = False


def initial_weights(cfg: Config) -> list[InitialWeights]:
    """Return what a config starts from, nothing for random weights.

    ``load_from`` replaces all that an ``init_cfg`` may have loaded before.

    Raises:
        UserError: A source is malformed.
    """
    if cfg.get('load_from'):
        return [InitialWeights('model', CheckpointRef.parse(cfg.load_from))]
    return backbone_weights(cfg.model)


def backbone_weights(model: dict) -> list[InitialWeights]:
    """Return the checkpoints in the ``init_cfg`` of a model config's backbone."""
    backbone = model.get('backbone') or {}
    return [
        InitialWeights(
            'backbone',
            CheckpointRef.parse(part['source'], part.get('sha256')),
            foreign=not is_ours(backbone),
        )
        for part in init_configs(backbone.get('init_cfg'))
        if part['type'] == CHECKPOINT_INIT and part.get('source')
    ]


def fetch_initial_weights(
    weights: Iterable[InitialWeights], command: Literal['train', 'finetune']
) -> None:
    """Fetch what a training starts from, to hear of a missing file before all else.

    Args:
        weights: What :func:`initial_weights` returned, or what was chosen.
        command: Selects the advice that follows the error.

    Raises:
        UserError: They cannot be had.
    """
    for item in weights:
        if item.foreign and item.reference.scheme and not item.reference.is_remote:
            continue  # mmengine has schemes of its own, such as torchvision://
        try:
            fetch(item.reference)
        except UserError as error:
            if command == 'train' and item.of == 'model':
                raise  # given with --init, or load_from: the message says it all
            raise type(error)(f'{error}. {WAYS_OUT[command]}') from error


def drop_backbone_weights(model: dict) -> None:
    """Take the checkpoints out of the ``init_cfg`` of a model config's backbone."""
    backbone = model.get('backbone') or {}
    parts = init_configs(backbone.get('init_cfg'))
    kept = [part for part in parts if part['type'] != CHECKPOINT_INIT]
    if len(kept) < len(parts):
        backbone['init_cfg'] = kept or None
