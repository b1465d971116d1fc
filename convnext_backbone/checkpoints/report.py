"""What a checkpoint gave to a model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from convnext_backbone.checkpoints.stated.values import Stated


@dataclass(frozen=True)
class LoadReport:
    """Which weights of a model came from a checkpoint, and which did not.

    ``str(report)`` is one line, :meth:`full_text` names every weight.

    Attributes:
        source: The path, URL or name that was given.
        family: Who names weights so: 'meta', 'fcmae', 'timm', 'hf', 'torchvision',
            'mmpretrain' or 'ours'.
        kind: What the file holds: 'classifier', 'backbone', 'detector', 'segmentor',
            or another 'model'.
        arch: The ConvNeXt in it, such as 'tiny'; 'tiny V2' with GRN; 'no ConvNeXt'.
        loaded: The model's weights that came from the file.
        new: The model's weights that did not, each with the reason.
        skipped: Names in the file that a model like this has no use for, with reason.
        unexpected: Names in the file that nothing explains.
        adapted: The model's weights that were reshaped or fitted, with what was done.
        meta: The ``meta`` that mmengine and mmcv store beside the weights.
        stated: What the source says of activation, eps and the images' mean and std.
        notes: What was assumed where the file does not tell.
    """

    source: str
    family: str
    kind: str
    arch: str
    loaded: tuple[str, ...]
    new: dict[str, str]
    skipped: dict[str, str]
    unexpected: tuple[str, ...]
    adapted: dict[str, str]
    meta: dict[str, Any] = field(default_factory=dict, repr=False)
    stated: Stated = field(default_factory=Stated)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line of counts and reasons."""
        total = len(self.loaded) + len(self.new)
        parts = [
            f'loaded {len(self.loaded)} of {total} weights from {self.source} '
            f'({self.family} {self.kind}, {self.arch})'
        ]
        for what, names in (('new', self.new), ('skipped', self.skipped)):
            if names:
                parts.append(f'{what}: {_count(names)}')
        if self.unexpected:
            parts.append(
                f'unexpected: {len(self.unexpected)} ({self.unexpected[0]} ..)'
            )
        if self.adapted:
            parts.append(f'adapted: {_count(self.adapted)}')
        return '; '.join([*parts, *self.notes])

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """Classes and palette of the training, None if the file does not hold them."""
        if isinstance(self.meta.get('dataset_meta'), Mapping):
            return dict(self.meta['dataset_meta'])
        if 'CLASSES' in self.meta:  # mmdet 2 and mmseg 0.x
            names = {'classes': 'CLASSES', 'palette': 'PALETTE'}
            return {ours: self.meta.get(theirs) for ours, theirs in names.items()}
        return None

    def full_text(self) -> str:
        """List every weight under what became of it, one a line."""
        lines = [str(self)]
        for name, value in asdict(self.stated).items():
            if value not in (None, ''):
                lines.append(f'stated {name}: {value}')
        for title in ('loaded', 'new', 'skipped', 'unexpected', 'adapted'):
            names = getattr(self, title)
            lines.append(f'{title} ({len(names)}):')
            notes = names if isinstance(names, dict) else dict.fromkeys(names, '')
            lines += [f'  {key}{note and f": {note}"}' for key, note in notes.items()]
        return '\n'.join(lines)


def _count(reasons: dict[str, str]) -> str:
    counts = Counter(reasons.values())
    return ', '.join(f'{n} ({reason})' for reason, n in counts.items())
