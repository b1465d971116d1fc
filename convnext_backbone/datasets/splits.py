"""Holds out a stratified validation split where a data set has none."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convnext_backbone.datasets.duplicates import group_near_duplicates
from convnext_backbone.datasets.records import Record

VAL_SHARE = 0.2
MAX_VAL = 5000  # images; more of them hardly change a metric


@dataclass
class Group:
    """Near-duplicates, which stay in the same split, and the classes in them."""

    records: list[Record]
    classes: set[object]


def make_splits(records: Sequence[Record], seed: int) -> bool:
    """Set the split of every record where the data set has no 'val' of its own.

    One image in five becomes validation, and of each class about one image in five
    (iterative stratification: Sechidis, Tsoumakas, Vlahavas 2011). Near-duplicates stay
    in the same split; no class loses its last training image to validation; 'test'
    stays as it is.

    Returns:
        Whether a validation split was held out.
    """
    if any(record.split == 'val' for record in records):
        return False
    pool = [record for record in records if record.split in ('', 'train')]
    wanted = min(MAX_VAL, max(1, round(VAL_SHARE * len(pool))))
    alike: dict[int, list[Record]] = {}
    for record, number in zip(pool, group_near_duplicates(pool), strict=True):
        record.split = 'train'
        alike.setdefault(number, []).append(record)
    rng = np.random.default_rng(seed)
    if not _choose([_group(part) for part in alike.values()], wanted, rng):
        _choose(
            [_group([record]) for record in pool], wanted, rng
        )  # all are near-duplicates
    return True


def _group(records: list[Record]) -> Group:
    classes: set[object] = set()
    for record in records:
        classes |= {instance.category for instance in record.instances}
        classes |= record.labels
    return Group(records, classes or {None})


def _choose(groups: list[Group], wanted: int, rng: np.random.Generator) -> int:
    """Make about ``wanted`` images validation, those of rare classes first.

    Returns:
        How many images became validation.
    """
    order = [groups[i] for i in rng.permutation(len(groups))]
    left = Counter(name for group in groups for name in group.classes)
    images: Counter[object] = Counter()
    for group in groups:
        images.update(dict.fromkeys(group.classes, len(group.records)))
    share = wanted / max(1, sum(len(group.records) for group in groups))
    chosen = 0
    have: Counter[object] = Counter()
    decided: set[int] = (
        set()
    )  # for a rarer class, and not reconsidered for a common one

    def take(group: Group, missing: float) -> None:
        nonlocal chosen
        size = len(group.records)
        fits = size <= min(missing, wanted - chosen) or (not chosen and size <= missing)
        free = group.records[0].split == 'train'
        if not fits or not free or any(left[name] < 2 for name in group.classes):
            return
        for record in group.records:
            record.split = 'val'
        chosen += size
        left.subtract(group.classes)
        have.update(dict.fromkeys(group.classes, size))

    rare_first = sorted(images, key=lambda n: (n is None, images[n], str(n)))
    for name in rare_first:  # None, images without any class, come last
        if name is None:
            for group in order:
                if not chosen and group.classes != {None}:
                    take(group, wanted)  # validation needs something to find
        for group in order:
            if name in group.classes and id(group) not in decided:
                decided.add(id(group))
                take(group, round(share * images[name]) - have[name])
    for group in order:
        take(group, wanted - chosen)
    if not chosen:  # only large groups: take the smallest
        for group in sorted(order, key=lambda group: len(group.records)):
            if not chosen:
                take(group, len(group.records))
    return chosen
