"""What the numbers and colours in masks stand for."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnext_backbone.datasets.formats.class_files import ClassEntry, Colour
from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.errors import UserError

IGNORED_NUMBER = 255  # in index masks, unless it is the foreground of a binary one
MAX_CLASSES = 254  # labels are uint8, 0 is taken, and 255 marks what has no label
BACKGROUND = {'background', 'bg', 'other', 'others', 'none', 'clutter'}  # number 0
FEW_MASKS = 4  # in fewer a class may well be in one mask only
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
    """

    classes: tuple[str, ...]
    numbers: dict[int, int]
    colours: dict[int, int]
    palette: list[Colour] | None
    origin: str

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
) -> Legend:
    """Make the legend of named numbers.

    Args:
        entries: Names, those of ignored pixels among them.
        numbers: Number in index masks of each entry but :data:`NOT_NUMBERED`.
        origin: Where they are from.
        ignored: Numbers of ignored pixels, unless they have a name.

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
    )


def pack(colour: Colour) -> int:
    """Return a colour as the number 0xRRGGBB."""
    red, green, blue = colour
    return (red << 16) + (green << 8) + blue


def colours_of(entries: Sequence[ClassEntry]) -> frozenset[int]:
    """Return the colours that entries of a class file have, as numbers 0xRRGGBB."""
    return frozenset(pack(entry.colour) for entry in entries if entry.colour)


def legend_of_file(
    class_file: Path, entries: Sequence[ClassEntry], found: Counter[int], masks: int
) -> tuple[Legend, list[Fault]]:
    """Find out how index masks number the classes of a class file.

    Args:
        class_file: The file.
        entries: What it names.
        found: In how many masks each number occurs.
        masks: How many masks there are.
    """
    numbered = [entry for entry in entries if entry.name != NOT_NUMBERED]
    count = len(numbered)
    greys = [e.colour[0] for e in numbered if e.colour and len(set(e.colour)) == 1]
    labels = set(found) - {IGNORED_NUMBER}
    begins = numbered[0].name.strip('_ ').lower() in BACKGROUND if numbered else False
    numbers: Sequence[int] = range(count)
    ignored = [IGNORED_NUMBER]
    kind = message = ''
    if len(greys) == count and set(greys) >= set(found) > set(found) & set(numbers):
        numbers = greys
    elif any(entry.ignored for entry in numbered):
        pass  # then the file numbers them
    elif count == 2 and IGNORED_NUMBER in found and labels <= {0}:
        numbers = (0, IGNORED_NUMBER)
        kind = 'binary-mask'
        message = (
            f'masks have 0 and 255 only: taken for {numbered[0].name} and '
            f'{numbered[1].name}'
        )
    elif not labels or max(labels) > count:
        pass
    elif 0 not in labels and (max(labels) < count or begins):
        kind = 'mask-numbers'
        message = (
            f'no mask has the number 0, which is taken for {numbered[0].name}; if '
            f'numbers begin with 1, name 0 too: write unlabeled for the first line'
        )
    elif max(labels) < count or begins:
        pass  # the number above the classes, if any, is an error of its mask
    elif 0 in labels and found[count] < 2 and masks >= FEW_MASKS:
        kind = 'mask-numbers'
        message = (
            f'{found[count]} of {masks} masks has the number {count}, which is taken '
            f'for a mistake, and 0 to {count - 1} for the {count} classes; if numbers '
            f'begin with 1, name 0 too: write unlabeled for the first line'
        )
    else:
        numbers = range(1, count + 1)
        ignored.append(0)
        kind = 'mask-numbers'
        message = (
            f'masks have numbers up to {count}: 1 to {count} are taken for the '
            f'{count} classes, 0 for ignored pixels; if 0 is a class, name it too'
        )
    faults = [Fault('warning', kind, str(class_file), message)] if message else []
    return make_legend(entries, numbers, str(class_file), ignored), faults


def legend_of_numbers(
    root: Path, found: Collection[int], first: int
) -> tuple[Legend, list[Fault]]:
    """Make names up for the numbers that occur in index masks.

    Args:
        root: Folder of the data set.
        found: The numbers.
        first: The number of the first class; those below are ignored.

    Raises:
        UserError: There are too many of them.
    """
    labels = set(found) - {IGNORED_NUMBER}
    origin = f'the masks of {root}'
    advice = 'write classes.txt with one name a line'
    if first == 0 and IGNORED_NUMBER in found and labels <= {0}:
        entries = [ClassEntry('background'), ClassEntry('foreground')]
        message = (
            f'masks have 0 and 255 only: taken for the classes background and '
            f'foreground; to name them otherwise, {advice}'
        )
        fault = Fault('warning', 'binary-mask', str(root), message)
        return make_legend(entries, (0, IGNORED_NUMBER), origin), [fault]
    numbers = range(first, max(labels, default=-1) + 1)
    entries = [ClassEntry(f'class_{number}') for number in numbers]
    legend = make_legend(entries, numbers, origin, (*range(first), IGNORED_NUMBER))
    if not entries:
        return legend, []
    message = (
        f'no class file: the masks have numbers up to {numbers[-1]}, '
        f'{len(labels & set(numbers))} of which occur; the classes are called '
        f'{entries[0].name} to {entries[-1].name}: {advice}'
    )
    return legend, [Fault('warning', 'class-names', str(root), message)]
