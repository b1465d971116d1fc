"""What is wrong with a data set as a whole, beyond its single images."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from convnext_backbone.datasets.depth import check_depth
from convnext_backbone.datasets.duplicates import near_duplicates
from convnext_backbone.datasets.records import Fault, Instance, Level, Record, Source

BACKGROUND = 'background'  # what a single class of masks is told apart from


def find_faults(
    source: Source, records: Sequence[Record], classes: Sequence[str] | None = None
) -> list[Fault]:
    """Return everything that is wrong with a data set, errors first.

    Args:
        source: The data set.
        records: What :func:`convnext_backbone.datasets.scan.scan` read of it.
        classes: The classes that a training is to have; None takes all.
    """
    faults = list(source.faults)
    for record in records:
        faults += record.faults
    faults += check_splits(source, records)
    faults += check_classes(source, records, classes)
    faults += check_depth(source.root, records)
    faults += check_masks(source, records)
    train = [record for record in records if record.split == 'train']
    val = [record for record in records if record.split == 'val']
    for seen, like in near_duplicates(train, val):
        message = (
            f'is a near-duplicate of the training image {like.image}: validation '
            f'metrics would be too high; remove one of them'
        )
        faults.append(Fault('warning', 'near-duplicate', str(seen.image), message))
    return sorted(faults, key=lambda fault: fault.level)


def check_splits(source: Source, records: Sequence[Record]) -> list[Fault]:
    """Find splits without an image, or without anything to learn from."""
    what = 'object' if source.task == 'det' else 'labelled pixel'
    faults = []
    images = Counter(record.split for record in records)
    found = Counter(r.split for r in records if r.labels or _objects(r))
    ignored = Counter(r.split for r in records for i in r.instances if i.crowd)
    if not images:
        message = 'holds no image with annotations'
        return [Fault('error', 'empty-split', str(source.root), message)]
    named = dict.fromkeys((*source.splits, *images))
    for split in {'train': None, **named} if any(named) else named:
        name = f'split {split}' if split else 'the data set'
        if split == 'test':  # nothing is trained or validated on it
            continue
        if not images[split]:
            message = f'{name} has no image: add some, or remove the folder or file'
        elif not found[split]:
            message = (
                f'{name} has {images[split]} images but not one {what}: is this the '
                f'right folder, and are the annotations beside it?'
            )
            if ignored[split]:
                message = (
                    f'{name} has no {what} that counts: all {ignored[split]} are '
                    f'crowds, difficult or to be ignored'
                )
        else:
            continue
        faults.append(Fault('error', 'empty-split', str(source.root), message, split))
    return faults + check_same_files(records)


def check_same_files(records: Sequence[Record]) -> list[Fault]:
    """Find image files that the data set has twice, perhaps by links."""
    faults = []
    first: dict[Path, Record] = {}
    for record in records:
        other = first.setdefault(record.image.resolve(), record)
        if other is record:
            continue
        level: Level = 'error'
        same = 'occurs twice'
        if other.image != record.image:
            same = f'is the same file as {other.image}'
        if other.split != record.split:
            kind = 'in-two-splits'
            message = f'in {other.split} and in {record.split}: remove it from one'
        elif _learned(other) != _learned(record):
            kind = 'duplicate-image'
            message = 'with other annotations: remove the wrong ones'
        else:
            level, kind = 'warning', 'duplicate-image'
            message = 'and counts twice: remove one of them'
        message = f'{same}, {message}'
        faults.append(Fault(level, kind, str(record.image), message))
    return faults


def _learned(record: Record) -> tuple:
    """Return what a training learns from an image, comparable."""
    objects = sorted((i.category, i.box, i.crowd) for i in record.instances)
    return objects, record.pixels


def check_masks(source: Source, records: Sequence[Record]) -> list[Fault]:
    """Find masks that some objects lack, and pixels that teach nothing.

    For detection, a box becomes the mask of its object where most others have one. For
    segmentation, images of a single class leave nothing to tell apart.
    """
    root = str(source.root)
    if source.task == 'seg':
        train = [r for r in records if r.split in ('', 'train')]
        labels = {label for record in train for label in record.labels}
        if len(labels) != 1 or source.classes is None:
            return []
        name = source.classes[labels.pop() - 1]
        message = (
            f'the training images show {name} and nothing else that counts: nothing '
            f'can be told apart; see that numbers in masks mean what you expect'
        )
        return [Fault('error', 'one-class', root, message)]
    having = [[i.segmentation is not None for i in _objects(r)] for r in records]
    some = sum(any(masks) for masks in having)
    lacking = [masks for masks in having if not all(masks)]
    if source.format == 'coco':  # which tells those beside others with a mask
        lacking = [masks for masks in lacking if not any(masks)]
    if not some or not lacking:
        return []
    message = (
        f'{len(lacking)} images have objects with a box only, and {some} have masks: '
        f'with instance masks, these boxes are trained as masks; annotate them, or '
        f'take a base for boxes'
    )
    return [Fault('warning', 'no-segmentation', root, message)]


def _objects(record: Record) -> list[Instance]:
    return [instance for instance in record.instances if not instance.crowd]


def class_names(source: Source, records: Sequence[Record]) -> tuple[str, ...]:
    """Return a data set's classes in label order, sorted where it states no order."""
    if source.classes is not None:
        return source.classes
    return tuple(sorted({i.category for r in records for i in r.instances}))


def objects_per_class(
    source: Source, records: Sequence[Record]
) -> dict[str, Counter[str]]:
    """Count, for each split, the objects of each class; for segmentation its images."""
    classes = class_names(source, records)
    counts: dict[str, Counter[str]] = {}
    for record in records:
        split = counts.setdefault(record.split, Counter())
        split.update(i.category for i in record.instances if not i.crowd)
        split.update(classes[i - 1] for i in record.pixels if 0 < i <= len(classes))
    return counts


def check_classes(
    source: Source, records: Sequence[Record], wanted: Sequence[str] | None
) -> list[Fault]:
    """Find classes that are missing, not trained, or not in the order wanted."""
    root = str(source.root)
    names = class_names(source, records)
    faults = []
    for name, count in Counter(names).items():
        if count > 1:
            message = f'{count} classes are called {name!r}: give each its own name'
            faults.append(Fault('error', 'duplicate-class', root, message, name))
    names = tuple(dict.fromkeys(names))
    lower = Counter(name.strip().lower() for name in names)
    for name in names:
        if lower[name.strip().lower()] > 1:
            message = f'another class differs from {name!r} in case or blanks only'
            faults.append(Fault('warning', 'similar-classes', root, message, name))
    if wanted is not None:
        faults += _compare(source, names, tuple(wanted))
        names = tuple(wanted)
    counts = objects_per_class(source, records)
    train = counts.get('train', counts.get('', Counter()))
    for name in names:
        if train[name]:
            continue
        in_val = counts.get('val', Counter())[name]
        if in_val:
            kind = 'class-only-in-val'
            message = (
                f'class {name!r} occurs {in_val} times in the validation data and '
                f'never in the training data: it cannot be learned; move images to the '
                f'training data, or leave the class out of --classes'
            )
        else:
            kind = 'class-without-objects'
            message = f'class {name!r} is not in any training image'
        faults.append(Fault('warning', kind, root, message, name))
    return faults


def against_background(source: Source, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of a training: of a single one in masks, the background too.

    A segmentor needs another class for the pixels that are not of the only one.
    """
    names = tuple(classes)
    if source.task == 'det' or len(names) != 1 or BACKGROUND in names:
        return names
    return BACKGROUND, *names


def _compare(
    source: Source, names: tuple[str, ...], wanted: tuple[str, ...]
) -> list[Fault]:
    root = str(source.root)
    faults = []
    for name in wanted:
        if name not in names:
            message = (
                f'--classes has {name!r}, which is not a class of the data; its '
                f'classes are {", ".join(names)}'
            )
            faults.append(Fault('error', 'unknown-class', root, message, name))
    if len(set(wanted)) < len(wanted):
        message = f'--classes names a class twice: {", ".join(wanted)}'
        faults.append(Fault('error', 'unknown-class', root, message))
    if source.task == 'seg' and wanted == (BACKGROUND,):
        message = '--classes names the background only: name what to tell apart from it'
        faults.append(Fault('error', 'one-class', root, message))
    left_out = [name for name in names if name not in wanted]
    if left_out:
        message = f'--classes leaves out {", ".join(left_out)}: they are not trained'
        if len(against_background(source, wanted)) > len(wanted):
            message = (
                f'--classes leaves out {", ".join(left_out)}: they are trained as the '
                f'background of {wanted[0]}'
            )
        faults.append(Fault('warning', 'left-out-class', root, message))
    in_data = [name for name in names if name in wanted]
    if in_data != [name for name in wanted if name in names]:
        message = (
            f'the data lists its classes in the order {", ".join(in_data)}, --classes '
            f'in another: labels are numbered as in --classes'
        )
        faults.append(Fault('warning', 'class-order', root, message))
    return faults
