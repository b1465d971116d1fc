"""What is wrong with a checkpoint file."""

import re
from pathlib import Path

from convnext_backbone.foundation.errors import UserError

WHOLE_MODEL = (
    'is a whole pickled model, which only loads by running the code it was made with. '
    'Save its weights there: torch.save(model.state_dict(), path)'
)


class CheckpointError(UserError):
    """A file that cannot be read, or holds no weights that can be used."""

    exit_status = 2  # the file is at fault, not the command


class UnsafeCheckpointError(CheckpointError):
    """A file that could only be read by running code that it brings along."""


def refusal(path: Path, names: list[str]) -> CheckpointError:
    """Return the error for a file that needs ``names``, which nothing here makes."""
    name = re.sub(r'^(posix|nt)\.', 'os.', names[0])
    if any(name.startswith('torch.nn.modules.') for name in names):
        return UnsafeCheckpointError(f'{path} (`{name}`) {WHOLE_MODEL}')
    if name.startswith(('torch._utils._rebuild_', 'torch._tensor.')):
        return CheckpointError(
            f'{path} was not loaded: it holds a tensor that is sparse, quantized, '
            f'without data or of a class of its own (`{name}`). Only dense tensors are '
            'read: make it one where it comes from, as with .to_dense()'
        )
    return UnsafeCheckpointError(
        f'{path} was not loaded: it asks for `{name}`, which could run code. Only '
        'tensors and plain containers are read. If you trust its origin, convert it '
        'there to .safetensors, or give --trust-checkpoint'
    )
