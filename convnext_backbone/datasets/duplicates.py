"""Finds near-duplicates among images, by the correlation of their thumbnails."""

from collections.abc import Iterator

import numpy as np

from convnext_backbone.datasets.records import Record

ALIKE = 0.995  # least correlation of the thumbnails of near-duplicates
BLOCK = 4096  # images compared at a time
NEIGHBOURS = 8  # near-duplicates of an image that are kept of each block
LEVELS = 0.03  # most difference of mean and of deviation, of the grey range
FLAT = 4.0  # grey levels; images with a lower deviation are all alike


def near_duplicates(
    train: list[Record], val: list[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield each image of val that has a near-duplicate in train, and the nearest one.

    Size, format and quality of the images make no difference. Crops and mirror images
    are not near-duplicates.
    """
    train, val = _structured(train), _structured(val)
    nearest: dict[int, tuple[float, int]] = {}
    for i, j, score in _near_pairs(val, train):
        nearest[i] = max(nearest.get(i, (0.0, 0)), (score, j))
    for i, (_, j) in sorted(nearest.items()):
        yield val[i], train[j]


def group_near_duplicates(records: list[Record]) -> list[int]:
    """Return a number for each image, the same for near-duplicates.

    Near-duplicates of near-duplicates belong to the group too, so that the frames of a
    video are one group.
    """
    parent = {id(record): id(record) for record in records}

    def root(key: int) -> int:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    structured = _structured(records)
    for i, j, _ in _near_pairs(structured, structured):
        parent[root(id(structured[i]))] = root(id(structured[j]))
    return [root(id(record)) for record in records]


def _structured(records: list[Record]) -> list[Record]:
    """Return the images that are not almost one flat colour."""
    return [r for r in records if r.thumbnail is not None and r.thumbnail.std() > FLAT]


def _near_pairs(
    first: list[Record], second: list[Record]
) -> Iterator[tuple[int, int, float]]:
    """Yield the indices of two near-duplicates, and the correlation of the thumbnails.

    Of each block only the nearest few: every frame of a video may resemble every other.
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
    thumbnails = [r.thumbnail for r in records if r.thumbnail is not None]
    assert len(thumbnails) == len(records), 'only structured images are compared'
    pixels = np.stack(thumbnails).reshape(len(records), -1).astype(np.float32)
    mean = pixels.mean(axis=1, keepdims=True)
    deviation = pixels.std(axis=1, keepdims=True)
    vectors = (pixels - mean) / (deviation * np.sqrt(pixels.shape[1]))
    return vectors, np.hstack([mean, deviation]) / 255
