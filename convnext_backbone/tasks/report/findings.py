"""What an evaluation found, in the form in which the page shows it."""

from dataclasses import dataclass, field

import numpy as np

EXAMPLES = 4  # best and worst images, each
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
    """One kind of mistake, and how large it is beside the largest kind."""

    text: str
    detail: str
    size: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: rows are the truth, columns the prediction."""

    counts: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shares: np.ndarray  # of their row; where the truth is nothing, of their column
    omitted: int = 0  # classes that are not shown


@dataclass(frozen=True)
class Curve:
    """Precision over recall, both from 0 to 1."""

    label: str
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class Findings:
    """The results of one evaluation; metrics are in percent, NaN where undefined."""

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


class Extremes:
    """Keeps the best and the worst few of many scored items, and nothing else.

    Of equal scores, the item with more in it is the better of good ones and the worse
    of bad ones: it tells more.
    """

    def __init__(self, count: int = EXAMPLES) -> None:
        self.count = count
        self.kept: list[tuple] = []  # worst first

    def add(self, score: float, weight: float, item: object) -> None:
        """Add an item with a score from 0 to 1 and how much there is in it."""
        self.kept.append(((score, (score - 0.5) * weight), item))
        self.kept.sort(key=lambda pair: pair[0])
        del self.kept[self.count : -self.count]

    def best_and_worst(self) -> tuple[list, list]:
        """Return both lists, most extreme first, with no item in both."""
        items = [(key[0], item) for key, item in self.kept]
        half = min(self.count, len(items) // 2)
        return items[half:][::-1][: self.count], items[:half]


def sort_rows(rows: list[tuple], column: int) -> list[tuple]:
    """Sort rows of a table by a column, the largest first and NaN last."""
    return sorted(rows, key=lambda row: -np.nan_to_num(row[column], nan=-1.0))


def shrink(counts: np.ndarray, classes: tuple[str, ...], *ends: str) -> Matrix:
    """Reduce a confusion matrix to the classes with the most mistakes.

    Args:
        counts: (C, C), or (C + 1, C + 1) with the background last.
        classes: C names.
        ends: What to call the background's row and column, if there are.
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
