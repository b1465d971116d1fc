"""The results of an evaluation, in the form in which the page shows them."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

ItemT = TypeVar('ItemT')  # what is scored, see Extremes

EXAMPLES = 4  # the number of best and of worst images
MISTAKES = 5
MATRIX_CLASSES = 30


@dataclass(frozen=True)
class Example:
    """One image, named by its path from the folder of all; pictures are data URIs.

    The score is in percent.
    """

    name: str
    score: float
    note: str
    truth: str
    prediction: str


@dataclass(frozen=True)
class Mistake:
    """One kind of mistake, and its size relative to that of the largest kind."""

    text: str
    detail: str
    size: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are the truth, columns the prediction."""

    counts: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shares: np.ndarray  # of the row; in the background's row, of the column
    omitted: int = 0  # number of classes that are not shown


@dataclass(frozen=True)
class Curve:
    """Precision by recall, both from 0 to 1."""

    label: str
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class Findings:
    """The results of one evaluation; metrics are in percent, or NaN if undefined."""

    metrics: dict[str, float]  # the main one first
    explanation: str  # of the main metric
    columns: tuple[str, ...]  # of the table: the class, a count, numbers in percent
    rows: list[tuple]
    matrix: Matrix
    matrix_note: str
    mistakes: list[Mistake]
    score_name: str  # of an example
    best: list[Example]
    worst: list[Example]
    images: int
    class_curves: list[Curve] = field(default_factory=list)
    iou_curves: list[Curve] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what makes them doubtful


class Extremes(Generic[ItemT]):
    """Keeps the few best and the few worst of many scored items.

    Of two items with the same score, the one with the larger weight is more extreme: it
    counts as better above a score of 0.5, and as worse below.

    Args:
        count: How many of each are kept.
    """

    def __init__(self, count: int = EXAMPLES) -> None:
        self.count = count
        self.kept: list[tuple[tuple[float, float], ItemT]] = []  # worst first

    def add(self, score: float, weight: float, item: ItemT) -> None:
        """Add an item with a score from 0 to 1 and a weight."""
        self.kept.append(((score, (score - 0.5) * weight), item))
        self.kept.sort(key=lambda pair: pair[0])
        del self.kept[self.count : -self.count]

    def best_and_worst(
        self,
    ) -> tuple[list[tuple[float, ItemT]], list[tuple[float, ItemT]]]:
        """Return both lists of (score, item), most extreme first, without overlap."""
        items = [(key[0], item) for key, item in self.kept]
        half = min(self.count, len(items) // 2)
        return items[half:][::-1][: self.count], items[:half]


def sort_rows(rows: list[tuple], column: int) -> list[tuple]:
    """Sort the rows of a table by a column, the largest first and NaN last."""
    return sorted(rows, key=lambda row: -np.nan_to_num(row[column], nan=-1.0))


def shrink(counts: np.ndarray, classes: tuple[str, ...], *ends: str) -> Matrix:
    """Reduce a confusion matrix to the classes with the most mistakes.

    Args:
        counts: (C, C), or (C + 1, C + 1) with the background last.
        classes: C names.
        ends: The names of the background's row and column, if there are.
    """
    number = len(classes)
    mistakes = counts.astype(np.int64, copy=True)
    np.fill_diagonal(mistakes, 0)
    weight = (mistakes.sum(0) + mistakes.sum(1))[:number]
    chosen = np.sort(np.argsort(-weight, kind='stable')[:MATRIX_CLASSES])
    index = [*chosen, number] if ends else list(chosen)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if ends:
        shares[number] = counts[number] / np.maximum(counts.sum(axis=0), 1)
    names = tuple(classes[i] for i in chosen)
    row, column = ends or (None, None)
    return Matrix(
        counts[np.ix_(index, index)],
        names + ((row,) if ends else ()),
        names + ((column,) if ends else ()),
        shares[np.ix_(index, index)],
        number - len(chosen),
    )
