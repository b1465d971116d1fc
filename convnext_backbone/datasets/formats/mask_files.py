"""Reads masks: pictures that hold the class of each pixel, as number or as colour."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from convnext_backbone.datasets.formats.mask_legend import Legend, pack
from convnext_backbone.datasets.records import Fault, Item, Source
from convnext_backbone.foundation.errors import UserError

NO_LABEL = 255  # in a table: stands for no class and not for ignored pixels
NUMBER_MODES = {'1', 'L', 'P', 'LA', 'PA', 'I', 'I;16', 'I;16L', 'I;16B', 'I;16N'}
SHOWN = 5  # colours that a message lists


def open_mask(
    path: Path, colours: Collection[int] = ()
) -> tuple[np.ndarray | None, list[Fault]]:
    """Decode a mask to its end.

    Args:
        path: The file.
        colours: Those that have a meaning, as numbers 0xRRGGBB.

    Returns:
        Its numbers (H, W), or its colours, uint8 (H, W, 3); None if it cannot be read,
        and why. Of a mask with a palette these are the indices, unless all that it
        uses of the palette has a meaning: programs that make files smaller number
        colours as they come.
    """
    try:
        with Image.open(path) as image:
            if image.format in ('JPEG', 'MPO'):
                message = (
                    'is a JPEG, which changes numbers and colours: export the mask '
                    'again as PNG'
                )
                return None, [Fault('error', 'mask-is-jpeg', str(path), message)]
            if image.mode == 'F':
                raise UserError('its pixels are fractions')
            if image.mode not in NUMBER_MODES:
                return np.asarray(image.convert('RGB')), []
            mask = np.asarray(image)
            if image.mode == 'P' and colours:
                palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
                if _names_colours(palette, mask, colours):
                    return palette[mask], []
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        message = f'cannot be decoded ({error}): replace or remove the mask'
        return None, [Fault('error', 'unreadable-mask', str(path), message)]
    if mask.ndim == 3:  # numbers and transparency
        mask = mask[..., 0]
    return mask.astype(np.uint8) if mask.dtype == bool else mask, []


def _names_colours(
    palette: np.ndarray, mask: np.ndarray, colours: Collection[int]
) -> bool:
    """Tell whether the colours (N, 3) of all indices in a mask have a meaning."""
    if _is_grey_scale(palette):
        return False
    used = np.flatnonzero(np.bincount(mask.ravel()))
    if used[-1] >= len(palette):
        return False
    return {pack(colour) for colour in palette[used].tolist()} <= set(colours)


def _is_grey_scale(palette: np.ndarray) -> bool:
    """Tell whether a palette (N, 3) is a scale that says nothing about classes."""
    return len(palette) > 1 and bool(
        (palette == np.arange(len(palette))[:, None]).all()
    )


def _palette_fault(path: Path, mask: np.ndarray, legend: Legend) -> Fault | None:
    """Return the fault of a palette that contradicts the numbers of an index mask.

    Its colours do not all have a meaning, so that the indices are taken; but some have,
    and another one than their index.
    """
    with Image.open(path) as image:
        if image.mode != 'P':
            return None
        palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    if _is_grey_scale(palette):
        return None
    used = np.flatnonzero(np.bincount(mask.ravel(), minlength=len(palette)))
    colours = {int(i): pack(palette[i].tolist()) for i in used if i < len(palette)}
    for index, colour in colours.items():
        label = legend.colours.get(colour)
        if label is not None and legend.numbers.get(index) != label:
            names = (
                f'({c >> 16}, {c >> 8 & 255}, {c & 255})' for c in colours.values()
            )
            message = (
                f'has a palette with the colours {", ".join(names)}: {legend.origin} '
                f'names some of them only, and not with the number that index {index} '
                f'is: name all there, or write the mask with the numbers of the classes'
            )
            return Fault('error', 'unclear-palette', str(path), message)
    return None


def numbers_of(mask: np.ndarray) -> np.ndarray | None:
    """Return a mask as numbers (H, W); None if it has colours that are not grey."""
    if mask.ndim == 2:
        return mask
    grey = mask[..., 0]
    return grey if (mask == grey[..., None]).all() else None


def read_labels(
    item: Item[Path], legend: Legend
) -> tuple[np.ndarray | None, list[Fault]]:
    """Read an item's mask.

    Returns:
        uint8 (H, W), 0 for ignored pixels and those that stand for nothing, 1 + i for
        class i; None if it cannot be read. And what is wrong with it.
    """
    path = item.annotation
    mask, faults = open_mask(path, legend.colours)
    if mask is None:
        return None, faults
    if mask.ndim == 2 and legend.coloured:
        # Some programs write a mask in which all colours are greys as a grey one.
        with Image.open(path) as image:
            mask = np.asarray(image.convert('RGB'))
    if mask.ndim == 2 and legend.colours:
        fault = _palette_fault(path, mask, legend)
        if fault is not None:
            return None, [fault]
    if mask.ndim == 3 and legend.colours:
        labels, faults = _labels_of_colours(mask, legend, path)
    else:
        numbers = numbers_of(mask)
        if numbers is None:
            message = (
                f'is in colours, but {legend.origin} names none: write '
                f'name R G B in each line of classes.txt, or make index masks'
            )
            return None, [Fault('error', 'unknown-colour', str(path), message)]
        labels, faults = _labels_of_numbers(numbers, legend, path)
    if not faults and not labels.any():
        message = 'has ignored pixels only: nothing is learned from this image'
        faults = [Fault('warning', 'all-ignored', str(path), message)]
    return labels, faults


def _labels_of_numbers(
    mask: np.ndarray, legend: Legend, path: Path
) -> tuple[np.ndarray, list[Fault]]:
    table = np.full(257, NO_LABEL, np.uint8)  # the last one is for all beyond 255
    table[list(legend.numbers)] = list(legend.numbers.values())
    inside = mask
    if mask.dtype != np.uint8:
        inside = np.where((mask < 0) | (mask > 255), 256, mask)
    labels = table[inside]
    unknown = labels == NO_LABEL
    if not unknown.any():
        return labels, []
    labels[unknown] = 0
    numbers, counts = np.unique(mask[unknown], return_counts=True)
    message = (
        f'has {_listing(map(str, numbers), counts)}; {legend.origin} has '
        f'{legend.expected()}: correct the mask, or name the missing classes'
    )
    return labels, [Fault('error', 'label-above-classes', str(path), message)]


def _labels_of_colours(
    mask: np.ndarray, legend: Legend, path: Path
) -> tuple[np.ndarray, list[Fault]]:
    red, green, blue = (mask[..., i].astype(np.uint32).ravel() for i in range(3))
    packed = (red << 16) | (green << 8) | blue
    # A class covers many pixels in a row: look up each run of a colour once.
    starts = np.flatnonzero(np.diff(packed, prepend=packed[0] ^ 1))
    runs, lengths = packed[starts], np.diff(starts, append=packed.size)
    known = np.array(sorted(legend.colours), np.uint32)
    table = np.array([legend.colours[int(colour)] for colour in known], np.uint8)
    place = np.searchsorted(known, runs).clip(max=len(known) - 1)
    right = known[place] == runs
    labels = np.repeat(np.where(right, table[place], 0).astype(np.uint8), lengths)
    labels = labels.reshape(mask.shape[:2])
    if right.all():
        return labels, []
    colours, inverse = np.unique(runs[~right], return_inverse=True)
    counts = np.bincount(inverse, lengths[~right]).astype(int)
    names = [f'({c >> 16}, {c >> 8 & 255}, {c & 255})' for c in colours]
    message = (
        f'has colours that {legend.origin} does not name: {_listing(names, counts)}; '
        f'add them to it, or correct the mask (JPEG compression, smooth scaling and '
        f'soft brushes mix colours: masks must be PNG, with hard edges)'
    )
    return labels, [Fault('error', 'unknown-colour', str(path), message)]


def _listing(names: Iterable[str], counts: np.ndarray) -> str:
    """List what most pixels have, with their number."""
    names = list(names)
    order = np.argsort(-counts, kind='stable')
    text = ', '.join(f'{names[i]} in {counts[i]} pixels' for i in order[:SHOWN])
    rest = len(names) - SHOWN
    return text if rest <= 0 else f'{text}, and {rest} more'


def mask_source(
    format: str,
    root: Path,
    items: list[Item[Path]],
    legend: Legend,
    faults: list[Fault],
    splits: Sequence[str] = (),
) -> Source[Path]:
    """Return a data set of masks that a legend explains."""
    return Source(
        format=format,
        task='seg',
        root=root,
        items=items,
        classes=legend.classes,
        read_labels=partial(read_labels, legend=legend),
        palette=legend.palette,
        faults=faults,
        splits=tuple(splits),
        reading=repr((legend.numbers, legend.colours, legend.coloured)),
    )
