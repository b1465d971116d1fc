"""Chooses which numbers in index masks stand for which of the named classes.

Masks number classes from 0 or from 1, and their ignored pixels with 255, with 0 or with
the number after the classes. Where names and numbers leave one reading, it is taken;
where they leave two, that is an error which states both, and how to choose.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from convnext_backbone.datasets.formats.class_files import ClassEntry
from convnext_backbone.datasets.formats.mask_legend import (
    IGNORED_NUMBER,
    NOT_NUMBERED,
    Legend,
    make_legend,
)
from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.errors import UserError

BACKGROUND = ClassEntry('background')
LISTED = 12  # numbers that a message lists
FEW = 8  # of so many numbers one occurs, or less: these are no numbers of classes

# Numbers of the classes, those of ignored pixels, and what is to be said about it.
Reading = tuple[Sequence[int], Sequence[int], list[Fault]]


def legend_of_file(
    class_file: Path,
    entries: Sequence[ClassEntry],
    found: Counter[int],
    masks: int,
    *,
    first: int = 0,
    ignore_label: int | None = None,
) -> tuple[Legend, list[Fault]]:
    """Find out how index masks number the classes of a class file.

    Args:
        class_file: The file.
        entries: What it names. A single class is one against a background, which
            becomes a class too.
        found: In how many masks each number occurs; nothing for masks in colours.
        masks: How many masks there are.
        first: The number of the first class in this layout; 0 is ignored below it.
        ignore_label: The number of ignored pixels, if the user states it: classes are
            then numbered from 0, without it.

    Raises:
        UserError: There are too many classes, or ``ignore_label`` is the number of one.
    """
    alone = _is_alone(entries)
    entries = with_background(entries) if alone else entries
    chooser = _Chooser(str(class_file), entries, found, masks)
    coloured = chooser.coloured and not found
    reading: Reading
    if coloured and ignore_label is not None:
        raise UserError(
            f'--ignore-label {ignore_label}: the masks are in colours; name the colour '
            f'of ignored pixels in {class_file}: void R G B'
        )
    if coloured or chooser.grey_levels:
        reading = chooser.by_colour(alone, ignore_label)
    elif ignore_label is not None:
        reading = chooser.without(ignore_label)
    elif alone:
        reading = chooser.one_class()
    elif any(e.ignored for e in entries) and (first == 0 or entries[0].ignored):
        reading = range(chooser.count), (IGNORED_NUMBER,), []
    elif IGNORED_NUMBER in found and chooser.labels <= {0} and chooser.count > 1:
        reading = chooser.binary()
    else:
        reading = chooser.from_one() if first else chooser.from_zero()
    numbers, ignored, faults = reading
    legend = make_legend(entries, numbers, str(class_file), ignored, coloured=coloured)
    if len(legend.classes) == 1:
        faults.append(_one_class(str(class_file), legend.classes[0]))
    return legend, faults


def with_background(entries: Sequence[ClassEntry]) -> list[ClassEntry]:
    """Put the background before the classes: black, where they have colours."""
    coloured = any(entry.colour for entry in entries)
    background = ClassEntry('background', (0, 0, 0)) if coloured else BACKGROUND
    rest = [entry for entry in entries if entry.name != NOT_NUMBERED]
    return [*(e for e in entries if e.name == NOT_NUMBERED), background, *rest]


def _is_alone(entries: Sequence[ClassEntry]) -> bool:
    """Tell whether entries are one class, for which there must be a background."""
    numbered = [entry for entry in entries if entry.name != NOT_NUMBERED]
    if len(numbered) != 1 or numbered[0].ignored or numbered[0].background:
        return False
    return numbered[0].colour != (0, 0, 0)


class _Chooser:
    """Chooses the numbers of the entries of a class file.

    Args:
        file: The class file.
        entries: What it names.
        found: In how many masks each number occurs.
        masks: How many masks there are.

    Attributes:
        entries: Those that have a number.
        count: How many they are.
        labels: The numbers that occur, without the usual one of ignored pixels.
        coloured: Whether the entries have colours.
        grey_levels: The numbers that their colours state, if those are what occurs.
    """

    def __init__(
        self, file: str, entries: Sequence[ClassEntry], found: Counter[int], masks: int
    ) -> None:
        self.file = file
        self.entries = [e for e in entries if e.name != NOT_NUMBERED]
        self.count = len(self.entries)
        self.found = found
        self.labels = set(found) - {IGNORED_NUMBER}
        self.masks = masks
        colours = [entry.colour for entry in self.entries if entry.colour]
        self.coloured = bool(colours)
        greys = [colour[0] for colour in colours if len(set(colour)) == 1]
        stated = self.count == len(greys) and self.labels <= set(greys)
        self.grey_levels = greys if stated else []

    def by_colour(self, alone: bool, ignore_label: int | None) -> Reading:
        """Number the entries by their grey levels, or in turn for masks in colours."""
        faults = []
        if ignore_label in self.grey_levels:
            raise UserError(
                f'--ignore-label {ignore_label} is the grey level of '
                f'{self.entries[self.grey_levels.index(ignore_label)].name!r} in '
                f'{self.file}: call it void there'
            )
        if alone:
            message = (
                f'names one class, {self.entries[1].name}: it is trained against the '
                f'background, which is black in the masks'
            )
            faults.append(Fault('warning', 'one-class', self.file, message))
        ignored = [IGNORED_NUMBER, *([] if ignore_label is None else [ignore_label])]
        return self.grey_levels or range(self.count), ignored, faults

    def without(self, ignore_label: int) -> Reading:
        """Number the entries from 0, without the number that the user ignores."""
        ignored = (IGNORED_NUMBER, ignore_label)
        if any(entry.ignored for entry in self.entries):
            named = self.entries[ignore_label : ignore_label + 1]
            if named and not named[0].ignored:
                raise UserError(
                    f'--ignore-label {ignore_label} is the number of '
                    f'{named[0].name!r}: {self.file} names ignored pixels already, so '
                    f'that its lines are the numbers 0 to {self.count - 1}'
                )
            return range(self.count), ignored, []
        numbers = [n for n in range(self.count + 1) if n != ignore_label]
        return numbers[: self.count], ignored, []

    def one_class(self) -> Reading:
        """Number a background and a class: 0 and 255, or 0 and 1."""
        name = self.entries[1].name
        binary = IGNORED_NUMBER in self.found and self.labels <= {0}
        number = IGNORED_NUMBER if binary else 1
        if 0 not in self.found or number not in self.found:
            message = (
                f'names one class, {name}, and needs masks with its background too: 0, '
                f'and 1 or 255 for {name}; they have {self._numbers()} only; another '
                f'number is stated as a grey level, such as {name} 128 128 128'
            )
            faults = [Fault('error', 'one-class', self.file, message)]
            return (0, number), (IGNORED_NUMBER,), faults
        ignored = ', 255 ignored' if not binary and IGNORED_NUMBER in self.found else ''
        message = (
            f'names one class: it is trained against the background; in the masks 0 is '
            f'background, {number} is {name}{ignored}'
        )
        fault = Fault('warning', 'one-class', self.file, message)
        return (0, number), (IGNORED_NUMBER,), [fault]

    def binary(self) -> Reading:
        """Number the classes of masks that have 0 and 255 only."""
        numbers = (0, IGNORED_NUMBER)
        names = [entry.name for entry in self.entries]
        if self.count == 2 and not self.entries[1].background:
            message = f'masks have 0 and 255 only: taken for {names[0]} and {names[1]}'
            fault = Fault('warning', 'binary-mask', self.file, message)
            return numbers, (), [fault]
        if self.count == 2:
            message = (
                f'masks have 0 and 255 only: either 0 is {names[0]}, the first one, or '
                f'0 is {names[1]}, as this name says; say which with grey levels: '
                f'{names[0]} 255 255 255 and {names[1]} 0 0 0, or the other way round'
            )
        else:
            message = (
                f'names {self.count} classes, and the masks have 0 and 255 only: name '
                f'the one class that is in them, or correct the masks'
            )
        fault = Fault('error', 'ambiguous-numbers', self.file, message)
        if self.count == 2:
            return numbers, (), [fault]
        return range(self.count), (IGNORED_NUMBER,), [fault]

    def from_zero(self) -> Reading:
        """Number classes from 0, unless the masks show that they begin with 1."""
        count, background = self.count, self.entries[0].background
        highest = max(self.labels, default=-1)
        zero = range(count), (IGNORED_NUMBER,)
        if highest > count and len(self.found) == count:
            return *zero, [self._grey_levels()]
        if highest > count or not self.labels:
            return *zero, []  # a number above the classes is an error of its mask
        if 0 in self.labels:
            ambiguous = highest == count and not background
            return *zero, [self._ambiguous()] if ambiguous else []
        if highest == count:
            return self._one_based('they have no 0')
        if not background:
            return *zero, [self._ambiguous()]
        message = (
            f'no mask has the number 0, which is taken for {self.entries[0].name}; if '
            f'numbers begin with 1: --ignore-label 0'
        )
        return *zero, [Fault('warning', 'mask-numbers', self.file, message)]

    def from_one(self) -> Reading:
        """Number classes from 1 as ADE20K's layout does, unless masks contradict it."""
        count = self.count
        from_zero = 0 in self.labels and max(self.labels) == count - 1
        if from_zero and self.entries[0].background:
            message = (
                f'masks have 0 to {count - 1}, and {self.entries[0].name} is named '
                f'first: 0 is taken for it, unlike in ADE20K; if 0 is for ignored '
                f'pixels and classes begin with 1: --ignore-label 0'
            )
            fault = Fault('warning', 'mask-numbers', self.file, message)
            return range(count), (IGNORED_NUMBER,), [fault]
        one = range(1, count + 1), (IGNORED_NUMBER, 0)
        if from_zero and self.labels == set(range(count)):
            return *one, [self._ambiguous()]
        if from_zero:
            return self._one_based(f'no mask has {count}, but this is the layout')
        return *one, []

    def _one_based(self, reason: str) -> Reading:
        """Number classes from 1, and say so."""
        message = (
            f'1 to {self.count} in the masks are taken for the {self.count} classes, 0 '
            f'for ignored pixels: {reason}; if the first class is 0: --ignore-label 255'
        )
        fault = Fault('warning', 'mask-numbers', self.file, message)
        return range(1, self.count + 1), (IGNORED_NUMBER, 0), [fault]

    def _ambiguous(self) -> Fault:
        """Return the fault of masks whose numbers may begin with 0 or with 1."""
        count, one, last = self.count, self.entries[0].name, self.entries[-1].name
        above = self.found[count] > 0
        from_zero, from_one = f'{count} is ignored', '0 is ignored'
        if not above:
            from_zero = 'all occur' if 0 in self.labels else f'{one} is in no mask'
            from_one += f' and {last} is in no mask'
        settled = (f'--ignore-label {count}', 'a last line void')
        if not above:
            settled = '--ignore-label 255', f'a first line {NOT_NUMBERED}'
        message = (
            f'names {count} classes, and the masks have {self._numbers()}. Either 0 is '
            f'{one} and {count - 1} is {last}: {from_zero}. Or 1 is {one} and {count} '
            f'is {last}: {from_one}. Say which: for the first, {settled[0]}, or '
            f'{settled[1]} in this file; for the second, --ignore-label 0, or a first '
            f'line void'
        )
        return Fault('error', 'ambiguous-numbers', self.file, message)

    def _grey_levels(self) -> Fault:
        """Return the fault of numbers that are as many as the classes, and others."""
        message = (
            f'names {self.count} classes, which would be 0 to {self.count - 1}; the '
            f'masks have as many other numbers, {_listed(self.found)}: if these are '
            f'grey levels, give each class its own, {self.entries[0].name} 0 0 0'
        )
        return Fault('error', 'ambiguous-numbers', self.file, message)

    def _numbers(self) -> str:
        """List the numbers that occur, with the masks of the lowest and the highest."""
        return f'{_listed(self.labels)} ({self._where()})'

    def _where(self) -> str:
        shown = sorted({min(self.found), max(self.labels, default=IGNORED_NUMBER)})
        if IGNORED_NUMBER in self.found:
            shown = sorted({*shown, IGNORED_NUMBER})
        counts = (f'{number} in {self.found[number]}' for number in shown)
        return f'{", ".join(counts)} of {self.masks} masks'


def _listed(labels: Collection[int]) -> str:
    """List numbers, a run of them by its ends."""
    numbers = sorted(labels)
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f'{numbers[0]} to {numbers[-1]}'
    text = ', '.join(map(str, numbers[:LISTED]))
    return text if len(numbers) <= LISTED else f'{text} and others'


def _one_class(where: str, name: str) -> Fault:
    message = (
        f'{name} is the only class, and nothing else counts: there is nothing to tell '
        f'it from; name the background too'
    )
    return Fault('error', 'one-class', where, message)


def legend_of_numbers(
    root: Path,
    found: Collection[int],
    *,
    first: int = 0,
    ignore_label: int | None = None,
) -> tuple[Legend, list[Fault]]:
    """Make names up for the numbers that occur in index masks.

    Args:
        root: Folder of the data set.
        found: The numbers.
        first: The number of the first class in this layout; those below are ignored.
        ignore_label: The number of ignored pixels, if the user states it: classes are
            then numbered from 0, without it.

    Raises:
        UserError: There are too many of them.
    """
    labels = set(found) - {IGNORED_NUMBER}
    origin = f'the masks of {root}'
    advice = 'write classes.txt with one name a line'
    foreground = next(
        (
            number
            for number, numbers in ((IGNORED_NUMBER, {0}), (1, {0, 1}))
            if number in found and 0 in found and labels == numbers
        ),
        None,
    )
    if ignore_label is None and foreground and (foreground == IGNORED_NUMBER or first):
        entries = [BACKGROUND, ClassEntry('foreground')]
        message = (
            f'masks have 0 and {foreground} only: taken for the classes background and '
            f'foreground; to name them otherwise, {advice}'
        )
        fault = Fault('warning', 'binary-mask', str(root), message)
        return make_legend(entries, (0, foreground), origin), [fault]
    left_out = range(first) if ignore_label is None else [ignore_label]
    numbers = [n for n in range(max(labels, default=-1) + 1) if n not in left_out]
    ignored = sorted({IGNORED_NUMBER, *left_out})
    entries = [ClassEntry(f'class_{number}') for number in numbers]
    legend = make_legend(entries, numbers, origin, ignored)
    if not entries:
        return legend, []
    if len(entries) == 1:
        return legend, [_one_class(origin, entries[0].name)]
    used = labels & set(numbers)
    if IGNORED_NUMBER in found and len(numbers) > FEW * len(used):
        message = (
            f'no class file: the masks have {_listed(found)}, which look like grey '
            f'levels: write classes.txt with a line for each, name R G B'
        )
        return legend, [Fault('error', 'ambiguous-numbers', str(root), message)]
    message = (
        f'no class file: the masks have numbers up to {numbers[-1]}, {len(used)} of '
        f'which occur ({_listed(used)}); the classes are called {entries[0].name} to '
        f'{entries[-1].name}, and {" and ".join(map(str, ignored))} taken for ignored '
        f'pixels: {advice}'
    )
    return legend, [Fault('warning', 'class-names', str(root), message)]
