"""Finds images of the validation that training sees too, or nearly."""

from collections.abc import Iterator

import numpy as np

from convnext_backbone.datasets.records import Record

ALIKE = 0.995  # least correlation of two thumbnails
BLOCK = 1024  # images compared at a time
FLAT = 4.0  # standard deviation, grey levels; a flatter picture is like any other


def near_duplicates(
    train: list[Record], val: list[Record]
) -> Iterator[tuple[Record, Record]]:
    """Yield (image of val, its like in train), for each image of val that has one.

    Two pictures are alike when their thumbnails are, whatever their size, format and
    quality: neither a crop nor a mirror image is.
    """
    train = [r for r in train if r.thumbnail is not None and r.thumbnail.std() > FLAT]
    val = [r for r in val if r.thumbnail is not None and r.thumbnail.std() > FLAT]
    if not train or not val:
        return
    train_vectors, train_levels = _vectors(train)
    val_vectors, val_levels = _vectors(val)
    best = np.full(len(val), -1.0)
    nearest = np.zeros(len(val), int)
    for start in range(0, len(train), BLOCK):
        part = slice(start, start + BLOCK)
        score = val_vectors @ train_vectors[part].T
        far = np.abs(val_levels[:, None] - train_levels[None, part]) > 0.03
        score[far.any(axis=-1)] = -1
        found = score.argmax(axis=1)
        value = score[np.arange(len(val)), found]
        nearest = np.where(value > best, start + found, nearest)
        best = np.maximum(best, value)
    for i in np.flatnonzero(best >= ALIKE):
        yield val[i], train[nearest[i]]


def _vectors(records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return thumbnails of mean 0 and length 1, and their (mean, deviation) in 0..1."""
    pixels = np.stack([r.thumbnail.ravel() for r in records]).astype(np.float32)
    mean = pixels.mean(axis=1, keepdims=True)
    deviation = pixels.std(axis=1, keepdims=True)
    vectors = (pixels - mean) / (deviation * np.sqrt(pixels.shape[1]))
    return vectors, np.hstack([mean, deviation]) / 255
