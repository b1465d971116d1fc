"""A checkpoint that was read: where it came from and what it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from convnext_backbone.checkpoints import sources
from convnext_backbone.checkpoints.reference import CheckpointRef, Source
from convnext_backbone.checkpoints.safe_reading.reading import check_tensors, read_file
from convnext_backbone.checkpoints.unwrapping import unwrap


@dataclass(frozen=True)
class Checkpoint:
    """What was read, with the state dict found in it.

    Attributes:
        reference: What the user wrote, with its ``entry`` and ``part`` filled in.
        path: The local file.
        content: All that the file holds: tensors and plain containers.
        state: The state dict in ``content`` that the reference means; the very
            mapping, so that a change of one is a change of the other.
    """

    reference: CheckpointRef
    path: Path
    content: dict
    state: Mapping[str, Tensor]

    @classmethod
    def of(cls, content: dict, reference: CheckpointRef, path: Path) -> 'Checkpoint':
        """Find the state dict in what a file holds.

        Raises:
            UserError: There is none, or nothing that the reference names.
        """
        state, reference = unwrap(content, reference)
        return cls(reference, path, content, state)

    def reread(self) -> 'Checkpoint':
        """Find the state dict again, in a content that was changed since."""
        return self.of(self.content, self.reference, self.path)

    @property
    def meta(self) -> dict[str, Any]:
        """The ``meta`` that mmengine and mmcv store beside the weights."""
        meta = self.content.get('meta')
        return dict(meta) if isinstance(meta, Mapping) else {}

    def mark(self, name: str) -> str | None:
        """Return a note that :func:`~.converting.convert` left in the file."""
        if isinstance(self.content.get(name), str):
            return self.content[name]
        try:
            with safe_open(self.path, 'pt') as file:
                return (file.metadata() or {}).get(name)
        except (OSError, SafetensorError):  # not of this format
            return None


def read_checkpoint(source: Source, sha256: str | None = None) -> Checkpoint:
    """Read a checkpoint onto the CPU, wherever it is; what is broken is not kept.

    Args:
        source: See :func:`~.loading.load`.
        sha256: Hash that the file must have, 64 hex digits.

    Raises:
        CheckpointError: The file is damaged, is no checkpoint, asks to run code, or
            holds weights that are not finite.
        UserError: There is no such file, or no state dict in it.
    """
    reference = CheckpointRef.parse(source, sha256)
    path = sources.fetch(reference)
    with sources.drop_broken(path):
        checkpoint = Checkpoint.of(read_file(path), reference, path)
        check_tensors(checkpoint.state, path)
    return checkpoint
