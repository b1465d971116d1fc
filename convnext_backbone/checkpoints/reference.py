"""What a user writes for a checkpoint, parsed once."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from convnext_backbone.foundation.errors import UserError

SCHEMES = ('http', 'https', 'timm', 'hf', 'meta')


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint's source: ``LOCATION#NAME&NAME&sha256=HEX``.

    It is the one value that travels from the command line to the loaded model, and
    everything that a source says is a field of it. The text alone does not tell an
    entry of the file from a prefix of names: :meth:`parse` fills ``names``, and only
    reading the file (:func:`~.unwrapping.unwrap`) fills ``entry`` and ``part``.

    Attributes:
        source: What the user wrote; ``str(reference)`` is the same.
        scheme: In lower case, such as 'https' or 'timm'; None for a path.
        location: The path, or the URL with its scheme, without the fragment.
        names: What to take of the file, as it is written: any number of entries,
            such as ``model_ema``, each inside the one before, and at most one prefix
            of the weights' names, such as ``backbone``.
        sha256: Hash that the file must have, 64 lower-case hex digits.
        entry: Those of ``names`` that are entries of the file, joined by &.
        part: The one of ``names`` that begins the names of weights.
    """

    source: str
    scheme: str | None
    location: str
    names: tuple[str, ...] = ()
    sha256: str | None = None
    entry: str | None = None
    part: str | None = None

    @classmethod
    def parse(cls, source: 'Source', sha256: str | None = None) -> 'CheckpointRef':
        """Parse what a user wrote; a local path that exists is all location.

        Args:
            source: A path, a URL or a name; a reference is returned as it is.
            sha256: Hash that the file must have, 64 hex digits; it takes precedence
                over the source's own.

        Raises:
            UserError: The source states more than one hash, a malformed hash, or is no
                string or path.
        """
        if isinstance(source, CheckpointRef):
            if sha256 is None:
                return source
            reference = source
        elif isinstance(source, str | os.PathLike):
            reference = cls._split(os.fspath(source))
        else:
            raise UserError(
                f'the checkpoint is given as {source!r}: expected a path, a URL or a '
                f'name, as a string'
            )
        if sha256 is not None:
            reference = replace(reference, sha256=sha256)
        return reference._with_checked_hash()

    @classmethod
    def _split(cls, source: str) -> 'CheckpointRef':
        found = re.match(r'([A-Za-z][\w+.-]*)://', source)
        scheme = found and found[1].lower()
        literal = scheme not in SCHEMES and os.path.exists(os.path.expanduser(source))
        if '#' not in source or literal:
            return cls(source, scheme, source)
        location, _, fragment = source.rpartition('#')
        words = [word for word in fragment.split('&') if word]
        hashes = [word for word in words if word.startswith('sha256=')]
        if len(hashes) > 1:
            raise UserError(f'{source} ends in {fragment!r}: expected one sha256=HEX')
        sha256 = hashes[0].removeprefix('sha256=') if hashes else None
        names = tuple(word for word in words if word not in hashes)
        return cls(source, scheme, location, names, sha256)

    def _with_checked_hash(self) -> 'CheckpointRef':
        if self.sha256 is None:
            return self
        if not re.fullmatch('[0-9a-fA-F]{64}', self.sha256):
            raise UserError(
                f'{self.source}: sha256 is {self.sha256!r}, expected 64 hex digits'
            )
        return replace(self, sha256=self.sha256.lower())

    def __str__(self) -> str:
        """Return what the user wrote."""
        return self.source

    @property
    def is_remote(self) -> bool:
        """Whether the scheme is one of ours, and the checkpoint has to be fetched."""
        return self.scheme in SCHEMES

    @property
    def address(self) -> str:
        """What follows ``SCHEME://``; the whole location of a path."""
        return self.location.partition('://')[2] if self.scheme else self.location

    @property
    def path(self) -> Path | None:
        """The local path, ``~`` expanded; None where there is a scheme."""
        return Path(os.path.expanduser(self.location)) if self.scheme is None else None

    def at(self, path: Path) -> 'CheckpointRef':
        """Return the same selection of another local file."""
        source = f'{path}{self.source[len(self.location) :]}'
        return replace(self, source=source, scheme=None, location=str(path))

    def with_names(self, *names: str) -> 'CheckpointRef':
        """Return the source that takes ``names`` of the same file."""
        words = [*names, f'sha256={self.sha256}'] if self.sha256 else names
        source = f'{self.location}#{"&".join(words)}'
        return replace(self, source=source, names=names, entry=None, part=None)

    def with_part(self, part: str) -> 'CheckpointRef':
        """Return the source that takes another part of the same entry."""
        entries = self.entry.split('&') if self.entry else ()
        return self.with_names(*entries, part)


Source: TypeAlias = str | os.PathLike[str] | CheckpointRef
