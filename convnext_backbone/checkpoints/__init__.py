"""Checkpoints: fetched from anywhere, read without running code, loaded with proof.

=================  ==========================================================
``reference.py``   what the user wrote, parsed once: :class:`CheckpointRef`
``sources.py``     a reference -> a local file; ``download.py`` and ``hub.py`` fetch,
                   ``published.py`` knows Meta's files
``safe_reading/``  a local file -> tensors and plain containers, never code
``unwrapping.py``  what the file holds -> the state dict in it
``checkpoint.py``  all that was read: :class:`Checkpoint`
``families.py``    a state dict -> whose it is; ``keymaps.py`` has the tables
``stated/``        activation, eps, mean and std that the source states
``matching.py``    its weights -> those of a model; ``adapt.py`` fits shapes
``loading.py``     all of it: :func:`load`, and the ``init_cfg`` of configs
``converting.py``  a checkpoint -> a file of another family
=================  ==========================================================
"""

from convnext_backbone.checkpoints.checkpoint import Checkpoint, read_checkpoint
from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.checkpoints.loading import apply, load
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.checkpoints.safe_reading.reading import trust
from convnext_backbone.checkpoints.sources import fetch, last_checkpoint, pick_file
from convnext_backbone.checkpoints.stated import Stated, stated_by, stated_by_name

__all__ = [
    'Checkpoint',
    'CheckpointError',
    'CheckpointRef',
    'LoadReport',
    'Source',
    'Stated',
    'UnsafeCheckpointError',
    'apply',
    'fetch',
    'last_checkpoint',
    'load',
    'pick_file',
    'read_checkpoint',
    'stated_by',
    'stated_by_name',
    'trust',
]
