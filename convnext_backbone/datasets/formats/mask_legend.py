"""What the numbers and colours in masks stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

from convnext_backbone.datasets.formats.class_files import ClassEntry, Colour
from convnext_backbone.foundation.errors import UserError

IGNORED_NUMBER = 255  # in index masks, unless it is the foreground of a binary one
MAX_CLASSES = 254  # labels are uint8, 0 is taken, and 255 marks what has no label
NOT_NUMBERED = '__ignore__'  # LabelMe's first line: its number is -1, in uint8 255


@dataclass(frozen=True)
class Legend:
    """Labels of what is in masks: 0 for ignored pixels, 1 + i for class i.

    Attributes:
        classes: Names in label order.
        numbers: Number in an index mask -> label.
        colours: Colour in an RGB mask, as the number 0xRRGGBB -> label.
        palette: RGB of each class, where colours are known.
        origin: Where this is stated, for messages.
        coloured: Whether the masks are in colours, so that grey ones are too.
    """

    classes: tuple[str, ...]
    numbers: dict[int, int]
    colours: dict[int, int]
    palette: list[Colour] | None
    origin: str
    coloured: bool = False

    def expected(self) -> str:
        """Return in words which numbers an index mask may have."""
        named = sorted(number for number, label in self.numbers.items() if label)
        ignored = sorted(number for number, label in self.numbers.items() if not label)
        text = ', '.join(map(str, named))
        if len(named) > 2 and named[-1] - named[0] == len(named) - 1:
            text = f'{named[0]} to {named[-1]}'
        if ignored:
            text += f', and {", ".join(map(str, ignored))} for ignored pixels'
        return text


def make_legend(
    entries: Sequence[ClassEntry],
    numbers: Sequence[int],
    origin: str,
    ignored: Sequence[int] = (IGNORED_NUMBER,),
    *,
    coloured: bool = False,
) -> Legend:
    """Make the legend of named numbers.

    Args:
        entries: Names, those of ignored pixels among them.
        numbers: Number in index masks of each entry but :data:`NOT_NUMBERED`.
        origin: Where they are from.
        ignored: Numbers of ignored pixels, unless they have a name.
        coloured: Whether the masks are in colours.

    Raises:
        UserError: There are too many classes.
    """
    classes = [entry for entry in entries if not entry.ignored]
    if len(classes) > MAX_CLASSES or len(numbers) > MAX_CLASSES + 1:
        raise UserError(
            f'{origin}: {len(classes)} classes, at most {MAX_CLASSES} are possible; '
            f'merge some (are these the numbers of objects, not of classes?)'
        )
    labels = {entry: 1 + i for i, entry in enumerate(classes)}
    numbered = [e for e in entries if e.name != NOT_NUMBERED]
    named = {n: labels.get(e, 0) for n, e in zip(numbers, numbered, strict=True)}
    colours = {
        pack(entry.colour): labels.get(entry, 0)
        for entry in entries
        if entry.colour is not None
    }
    palette = [entry.colour for entry in classes if entry.colour is not None]
    return Legend(
        classes=tuple(entry.name for entry in classes),
        numbers={**dict.fromkeys(ignored, 0), **named},
        colours=colours,
        palette=palette if colours else None,
        origin=origin,
        coloured=coloured,
    )


def pack(colour: Colour) -> int:
    """Return a colour as the number 0xRRGGBB."""
    red, green, blue = colour
    return (red << 16) + (green << 8) + blue


def colours_of(entries: Sequence[ClassEntry]) -> frozenset[int]:
    """Return the colours that entries of a class file have, as numbers 0xRRGGBB."""
    return frozenset(pack(entry.colour) for entry in entries if entry.colour)
