"""Divides a data set that has no validation images, seeded and stratified."""

from collections.abc import Sequence

import numpy as np

from convnext_backbone.datasets.duplicates import near_duplicates
from convnext_backbone.datasets.records import Record

VAL_SHARE = 0.2
MAX_VAL = 5000  # images; more of them sharpen no figure


def make_splits(records: Sequence[Record], seed: int) -> bool:
    """Set the split of every record where the data set has no 'val' of its own.

    One image in five becomes validation, and of each class about one image in five
    (iterative stratification: Sechidis, Tsoumakas, Vlahavas 2011); a class of a single
    image is trained on. Images that look alike stay on one side. 'test' stays as it is.

    Returns:
        Whether anything was divided.
    """
    if any(record.split == 'val' for record in records):
        return False
    pool = [record for record in records if record.split in ('', 'train')]
    wanted = min(MAX_VAL, round(VAL_SHARE * len(pool)))
    wanted = max(wanted, 1 if len(pool) > 1 else 0)
    chosen = _stratified(pool, wanted, np.random.default_rng(seed))
    for i, record in enumerate(pool):
        record.split = 'val' if i in chosen else 'train'
    train = [record for record in pool if record.split == 'train']
    val = [record for record in pool if record.split == 'val']
    twins = [seen for seen, _ in near_duplicates(train, val)]
    if len(twins) < len(val):
        for record in twins:
            record.split = 'train'
    return True


def _stratified(
    pool: Sequence[Record], wanted: int, rng: np.random.Generator
) -> set[int]:
    """Choose ``wanted`` of the records, those of rare classes first."""
    share = wanted / max(1, len(pool))
    images: dict[object, list[int]] = {}  # class -> its images; None: no class
    for i in rng.permutation(len(pool)):
        found = {x.category for x in pool[i].instances} | set(pool[i].pixels) - {0}
        for name in found or {None}:
            images.setdefault(name, []).append(int(i))
    chosen: set[int] = set()
    decided: set[int] = set()
    for name in sorted(images, key=lambda name: (len(images[name]), str(name))):
        have = len(chosen.intersection(images[name]))
        missing = round(share * len(images[name])) - have
        left = [i for i in images[name] if i not in decided]
        take = left[: max(0, min(missing, wanted - len(chosen), len(images[name]) - 1))]
        chosen.update(take)
        decided.update(left)
    rest = [int(i) for i in rng.permutation(len(pool)) if int(i) not in chosen]
    chosen.update(rest[: wanted - len(chosen)])
    return chosen
