"""Counts of a data set: images, objects, sizes; as a dict and as text."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from prettytable import PrettyTable

from convnext_backbone.datasets.checks import class_names, objects_per_class
from convnext_backbone.datasets.records import Fault, Record, Source

SMALL, LARGE = 32, 96  # pixels; COCO's limits of the square root of an object's area
SHOWN = 5  # faults of a kind that are printed


def statistics(source: Source, records: Sequence[Record]) -> dict:
    """Count what a data set has, ready for JSON.

    Returns:
        ``format``, ``task``, ``root``, ``classes``; ``splits``: for each its
        ``images``, ``empty`` ones (without an object or labelled pixel), ``objects``,
        ``masks`` (objects with one) and ``per_class``: objects of each class, for
        segmentation images with the class; for segmentation ``pixel_share`` of each
        class; ``image_size``: quartiles of width, height and their ``aspect`` ratio;
        for detection ``box_aspect`` and ``areas`` (COCO's small, medium, large).
    """
    classes = class_names(source, records)
    counts = objects_per_class(source, records)
    splits: dict[str, dict] = {}
    result: dict = {
        'format': source.format,
        'task': source.task,
        'root': str(source.root),
        'classes': list(classes),
        'splits': splits,
    }
    for split in counts:
        part = [record for record in records if record.split == split]
        objects = [i for record in part for i in record.instances if not i.crowd]
        entry: dict = {
            'images': len(part),
            'empty': sum(not r.instances and not r.labels for r in part),
            'per_class': {name: counts[split][name] for name in classes},
        }
        if source.task == 'det':
            entry['objects'] = len(objects)
            entry['masks'] = sum(i.segmentation is not None for i in objects)
        else:
            pixels: Counter[int] = Counter()
            for record in part:
                pixels.update(record.pixels)
            total = max(1, sum(pixels.values()))
            entry['pixel_share'] = {
                name: pixels[i] / total for i, name in enumerate(classes, start=1)
            }
            entry['ignored_share'] = pixels[0] / total
        splits[split or 'all'] = entry
    sizes = np.array([(r.width, r.height) for r in records if r.width]).reshape(-1, 2)
    result['image_size'] = {
        'width': _quartiles(sizes[:, 0]),
        'height': _quartiles(sizes[:, 1]),
        'aspect': _quartiles(sizes[:, 0] / sizes[:, 1]),
    }
    if source.task == 'det':
        boxes = np.array([i.box for r in records for i in r.instances]).reshape(-1, 4)
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        area = width * height
        result['box_aspect'] = _quartiles(width / height)
        result['areas'] = {
            'small': int((area < SMALL**2).sum()),
            'medium': int(((area >= SMALL**2) & (area < LARGE**2)).sum()),
            'large': int((area >= LARGE**2).sum()),
        }
    return result


def _quartiles(values: np.ndarray) -> list[float]:
    """Return minimum, quartiles and maximum; an empty list for no values."""
    if not len(values):
        return []
    return [round(float(v), 3) for v in np.percentile(values, (0, 25, 50, 75, 100))]


def render(numbers: dict, faults: Sequence[Fault]) -> str:
    """Write what :func:`statistics` counted and what is wrong, for a reader."""
    task = {'det': 'detection', 'seg': 'segmentation'}[numbers['task']]
    lines = [f'{numbers["root"]}: {task} data, format {numbers["format"]}', '']
    lines += [_class_table(numbers).get_string(), '']
    for name, values in numbers['image_size'].items():
        lines.append(_range(f'image {name}', values))
    if numbers['task'] == 'det':
        lines.append(_range('box aspect', numbers['box_aspect']))
        total = max(1, sum(numbers['areas'].values()))
        shares = [f'{k} {v} ({v / total:.0%})' for k, v in numbers['areas'].items()]
        lines.append(f'object areas   {", ".join(shares)}; limits 32x32, 96x96 pixels')
    return '\n'.join([*lines, '', render_faults(faults)])


def _range(name: str, values: list[float]) -> str:
    if not values:
        return f'{name:<14} -'
    low, _, median, _, high = (f'{v:g}' for v in values)
    return f'{name:<14} {low} to {high}, median {median}'


def _class_table(numbers: dict) -> PrettyTable:
    """Lay out the classes with their counts in each split."""
    det = numbers['task'] == 'det'
    rows = [[name] for name in numbers['classes']]
    rows += [['images'], ['images without any']]
    rows += [['objects'], ['objects with a mask']] if det else [['ignored pixels']]
    for entry in numbers['splits'].values():
        values = [
            str(entry['per_class'][name])
            if det
            else f'{entry["pixel_share"][name]:.1%} in {entry["per_class"][name]}'
            for name in numbers['classes']
        ]
        values += [entry['images'], entry['empty']]
        values += (
            [entry['objects'], entry['masks']]
            if det
            else [f'{entry["ignored_share"]:.1%}']
        )
        for row, value in zip(rows, values, strict=True):
            row.append(value)
    unit = 'objects' if det else 'pixels in images'
    table = PrettyTable(['class', *(f'{s}: {unit}' for s in numbers['splits'])])
    table.align = 'r'
    table.align['class'] = 'l'
    for i, row in enumerate(rows):
        table.add_row(row, divider=i == len(numbers['classes']) - 1)
    return table


def render_faults(faults: Sequence[Fault]) -> str:
    """List faults by kind, the first few of each with file and id."""
    if not faults:
        return 'No faults found.'
    groups: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.level, fault.kind), []).append(fault)
    lines = []
    for (level, kind), group in groups.items():
        lines.append(f'{level}: {kind} ({len(group)})')
        for fault in group[:SHOWN]:
            where = ', '.join(filter(None, (fault.file, fault.id)))
            lines.append(f'    {where}: {fault.message}')
        if len(group) > SHOWN:
            lines.append(
                f'    ... and {len(group) - SHOWN} more, which convnext-backbone '
                f'check-dataset --json lists'
            )
    errors = sum(fault.level == 'error' for fault in faults)
    lines.append(f'{errors} errors, {len(faults) - errors} warnings')
    return '\n'.join(lines)
