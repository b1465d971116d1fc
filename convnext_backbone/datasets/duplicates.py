"""Finds images of the validation that training sees too, or nearly."""

from collections.abc import Iterator

import numpy as np

from convnext_backbone.datasets.records import Record

ALIKE = 0.995  # least correlation of two thumbnails
BLOCK = 4096  # images compared at a time
NEIGHBOURS = 8
LEVELS = 0.03  # most difference of mean and deviation, of the whole range
FLAT = 4.0  # standard deviation, grey levels; a flatter picture is like any other


def near_duplicates(
    train: list[Record], val: list[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield (image of val, its like in train), for each image of val that has one.

    Two pictures are alike when their thumbnails are, whatever their size, format and
    quality: neither a crop nor a mirror image is.
    """
    train, val = _structured(train), _structured(val)
    nearest: dict[int, tuple[float, int]] = {}
    for i, j, score in _alike(val, train):
        nearest[i] = max(nearest.get(i, (0.0, 0)), (score, j))
    for i, (_, j) in sorted(nearest.items()):
        yield val[i], train[j]


def group_alike(records: list[Record]) -> list[int]:
    """Return a number for each image, the same for images that look alike.

    Neighbours' neighbours are alike too, so that a film is one group.
    """
    parent = {id(record): id(record) for record in records}

    def root(key: int) -> int:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    structured = _structured(records)
    for i, j, _ in _alike(structured, structured):
        parent[root(id(structured[i]))] = root(id(structured[j]))
    return [root(id(record)) for record in records]


def _structured(records: list[Record]) -> list[Record]:
    """Return the images that are no flat area, which is like any other."""
    readable = (r for r in records if r.thumbnail is not None)
    return [r for r in readable if r.thumbnail.std() > FLAT]


def _alike(
    first: list[Record], second: list[Record]
) -> Iterator[tuple[int, int, float]]:
    """Yield the places of two images that are alike, and how much.

    Only the nearest few of each block: in a film every image is like every other.
    """
    if not first or not second:
        return
    first_vectors, first_levels = _vectors(first)
    second_vectors, second_levels = _vectors(second)
    for a in range(0, len(first), BLOCK):
        for b in range(0, len(second), BLOCK):
            score = first_vectors[a : a + BLOCK] @ second_vectors[b : b + BLOCK].T
            for i in np.flatnonzero((score >= ALIKE).any(axis=1)):
                found = np.flatnonzero(score[i] >= ALIKE)
                if len(found) > NEIGHBOURS:
                    best = np.argpartition(-score[i, found], NEIGHBOURS - 1)
                    found = found[best[:NEIGHBOURS]]
                levels = first_levels[a + i] - second_levels[b + found]
                for j in found[np.abs(levels).max(axis=1) <= LEVELS]:
                    yield int(a + i), int(b + j), float(score[i, j])


def _vectors(records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return thumbnails of mean 0 and length 1, and their (mean, deviation) in 0..1."""
    pixels = np.stack([r.thumbnail.ravel() for r in records]).astype(np.float32)
    mean = pixels.mean(axis=1, keepdims=True)
    deviation = pixels.std(axis=1, keepdims=True)
    vectors = (pixels - mean) / (deviation * np.sqrt(pixels.shape[1]))
    return vectors, np.hstack([mean, deviation]) / 255
