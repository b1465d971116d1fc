"""What a source states of its weights."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

PIXEL = 255.0  # the value of white


@dataclass(frozen=True)
class Stated:
    """What a source states of its weights; None where it says nothing.

    Attributes:
        act: Activation of the blocks: a name of
            :data:`~convnext_backbone.backbone.block.ACTIVATIONS`, or the source's own
            name of one that we do not have.
        norm_eps: What LayerNorm adds to the variance.
        mean: What was subtracted from each channel of the images, in pixel values
            from 0 to 255 and in the order of the model's channels, which is RGB for
            all libraries.
        std: What they were divided by then.
        origin: Who says so, such as 'config.json'.
    """

    act: str | None = None
    norm_eps: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    origin: str = ''

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left open."""
        return None not in (self.act, self.norm_eps, self.mean, self.std)

    def to_json(self) -> str:
        """Write it as text, for a converted file to keep."""
        return json.dumps(asdict(self))


IMAGENET = Stated(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def merge(sources: Iterable[Stated]) -> Stated:
    """Take each value from the first source that states it."""
    values: dict[str, Any] = {}
    origins: list[str] = []
    for source in sources:
        for field in fields(Stated):
            value = getattr(source, field.name)
            if field.name == 'origin' or value is None or field.name in values:
                continue
            values[field.name] = value
            if source.origin not in origins:
                origins.append(source.origin)
    return Stated(**values, origin=' and '.join(origins))


def channels(values: object, scale: float = 1.0) -> tuple[float, ...] | None:
    """Return a list of numbers times ``scale``, None if it is no such list."""
    if not isinstance(values, list | tuple) or not values:
        return None
    if not all(isinstance(v, int | float) for v in values):
        return None
    return tuple(round(scale * float(v), 4) for v in values)


def number(value: object) -> float | None:
    """Return a number as a float, None if it is none."""
    return float(value) if isinstance(value, int | float) else None


def text(value: object) -> str | None:
    """Return a value's name, None if there is none."""
    return None if value is None else str(value)
