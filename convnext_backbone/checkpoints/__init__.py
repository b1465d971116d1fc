"""Loads trained models, all of their weights or none."""

from pickle import UnpicklingError

from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from torch import nn


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint file onto the CPU.

    Raises:
        ValueError: The file cannot be read, or holds no state dict.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except (
        RuntimeError,
        EOFError,
        KeyError,
        ImportError,
        AttributeError,
        UnpicklingError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error)
        raise ValueError(f'checkpoint {path} cannot be read: {reason}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, not a state dict'
        )
    return checkpoint


def check_fits(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Compare a checkpoint with a model, key by key and shape by shape.

    Raises:
        ValueError: A weight is missing, left over or of another shape.
    """
    state = checkpoint.get('state_dict', checkpoint)
    own = model.state_dict()
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own]
    misshapen = [
        f'{k} is {tuple(state[k].shape)} in the file, {tuple(v.shape)} in the model'
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    problems = [
        f'{len(found)} {what}: {"; ".join(found[:3])}{" ..." if len(found) > 3 else ""}'
        for what, found in (
            ('weights are missing', missing),
            ('weights do not belong to the model', unexpected),
            ('weights have another shape', misshapen),
        )
        if found
    ]
    if problems:
        raise ValueError(
            f'checkpoint {path} is not of this model; {"; ".join(problems)}. Use the '
            f'config it was trained with (kept beside it in its work dir)'
        )


def load_trained(model: nn.Module, path: str) -> dict:
    """Load a checkpoint that this very model was trained to.

    Args:
        model: The whole detector or segmentor.
        path: A file of mmengine's Runner, or a bare state dict.

    Returns:
        The checkpoint's ``meta`` (empty for a bare state dict).

    Raises:
        ValueError: The file cannot be read, or a weight is missing, left over or of
            another shape; nothing of it is then loaded.
    """
    checkpoint = read_checkpoint(path)
    check_fits(model, checkpoint, path)
    state = checkpoint.get('state_dict', checkpoint)
    model.load_state_dict(state)
    MMLogger.get_current_instance().info(f'Loaded all {len(state)} weights of {path}')
    return checkpoint.get('meta', {})
