"""Checkpoints: fetched from anywhere, read without running code, loaded with proof.

=================  ==========================================================
``sources.py``     what the user wrote -> a local file; ``download.py`` fetches,
                   ``published.py`` knows Meta's files
``safe_reading/``  a local file -> tensors and plain containers, never code
``families.py``    a state dict -> whose it is; ``keymaps.py`` has the tables
``matching.py``    its weights -> those of a model; ``adapt.py`` fits shapes
``loading.py``     all of it: :func:`load`, and the ``init_cfg`` of configs
``converting.py``  a checkpoint -> a file of another family
=================  ==========================================================
"""

from convnext_backbone.checkpoints.errors import CheckpointError, UnsafeCheckpointError
from convnext_backbone.checkpoints.loading import apply, load, read_checkpoint
from convnext_backbone.checkpoints.report import LoadReport
from convnext_backbone.checkpoints.safe_reading.reading import trust
from convnext_backbone.checkpoints.sources import fetch, last_checkpoint, pick_file

__all__ = [
    'CheckpointError',
    'LoadReport',
    'UnsafeCheckpointError',
    'apply',
    'fetch',
    'last_checkpoint',
    'load',
    'pick_file',
    'read_checkpoint',
    'trust',
]
