"""Reads one line of YOLO's label files, whose numbers may mean several things.

``class x y w h`` is a box, ``class x1 y1 x2 y2 x3 y3 ...`` a polygon, all relative to
the image. In a pose data set, which states ``kpt_shape`` in data.yaml, keypoints follow
the box. A prediction that was saved as a label has a confidence after the box.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convnext_backbone.foundation.errors import UserError

BOX = 4  # numbers of a box
POLYGON = 6  # numbers of a polygon, at least
SLACK = 0.01  # that a polygon may be beyond 0 to 1, by rounding
FAR = 1.0  # that a box may be, which is then told to be outside its image
ENOUGH = 4  # lines that tell whether a data set has keypoints
SHARE = 0.25  # of them whose second pair cannot be a point of a polygon


@dataclass(frozen=True)
class Line:
    """What a line states.

    Attributes:
        values: Four numbers of a box, or an even count of those of a polygon.
        confidence: The number after a box, which is left out.
    """

    values: tuple[float, ...]
    confidence: float | None = None


def keypoint_shape(value: object) -> tuple[int, int] | None:
    """Return how many keypoints an object has, and the numbers of each.

    Args:
        value: ``kpt_shape`` of data.yaml; None where there is none.

    Raises:
        UserError: It is not such a pair.
    """
    if value is None:
        return None
    pair = value if isinstance(value, list) and len(value) == 2 else ()
    if not pair or not all(type(number) is int and number > 0 for number in pair):
        raise UserError(
            f'kpt_shape is {value!r}, expected two numbers: how many keypoints an '
            f'object has, and 2 (x, y) or 3 (x, y, visibility) for each'
        )
    if pair[1] not in (2, 3):
        raise UserError(
            f'kpt_shape is {value!r}: a keypoint has 2 numbers (x, y) or 3 (x, y, '
            f'visibility)'
        )
    return pair[0], pair[1]


def read_values(words: Sequence[str], keypoints: tuple[int, int] | None) -> Line:
    """Read what follows the class.

    Args:
        words: The words of the line after the first.
        keypoints: What :func:`keypoint_shape` returns.

    Raises:
        UserError: It is neither a box nor a polygon, or numbers are not relative.
    """
    try:
        values = tuple(float(word) for word in words)
    except ValueError as error:
        raise UserError(f'{error}: expected numbers after the class') from None
    count = len(values)
    wrong = next((value for value in values if not math.isfinite(value)), None)
    if wrong is not None:
        raise UserError(f'{wrong} is not a finite number')
    confidence = None
    if keypoints is not None and count != BOX:
        number, each = keypoints
        if count != BOX + number * each:
            raise UserError(
                f'{count} numbers after the class: expected the box and {number} '
                f'keypoints of {each} numbers (kpt_shape in data.yaml), '
                f'{BOX + number * each} in all, or the box alone'
            )
        values = values[:BOX]
    elif count == BOX + 1:
        confidence = values[BOX]
        if not 0 <= confidence <= 1:
            raise UserError(
                f'{confidence:g} after the box is no confidence (0 to 1): remove it'
            )
        values = values[:BOX]
    elif count != BOX and (count < POLYGON or count % 2):
        raise UserError(
            f'{count} numbers after the class: a box has {BOX}, a polygon x and y of '
            f'at least 3 points; keypoints need kpt_shape in data.yaml, and a polygon '
            f'must have no confidence after it'
        )
    slack = FAR if len(values) == BOX else SLACK
    beyond = next((v for v in values if not -slack <= v <= 1 + slack), None)
    if beyond is not None:
        raise UserError(
            f'{beyond:g} is not relative to the image: expected numbers from 0 to 1, '
            f'pixels divided by width or height; if it is the visibility of a '
            f'keypoint, state kpt_shape in data.yaml'
        )
    return Line(values, confidence)


def find_keypoints(lines: Iterable[Line]) -> tuple[int, int] | None:
    """Return which ``kpt_shape`` lines must have that are read as polygons.

    Keypoints without it look like a polygon whose first two points are the center and
    the size of a box that holds all others; the second is no neighbour of the others
    then. Or every third number is the visibility: 0, 1 or 2.

    Returns:
        Keypoints of an object and numbers of each; None where lines are boxes or
        polygons.
    """
    shapes = [line.values for line in lines if len(line.values) > BOX]
    counts = {len(values) - BOX for values in shapes}
    if len(shapes) < ENOUGH or len(counts) != 1:
        return None
    (count,) = counts
    if count % 3 == 0 and all(set(values[6::3]) <= {0, 1} for values in shapes):
        return count // 3, 3
    if not all(map(_in_first_pairs_box, shapes)):
        return None
    far = sum(map(_second_pair_is_far, shapes))
    return (count // 2, 2) if far >= SHARE * len(shapes) else None


def _in_first_pairs_box(values: Sequence[float]) -> bool:
    """Tell whether all later points are in the box that the first two pairs state."""
    x, y, width, height = values[:BOX]
    return all(
        abs(a - x) <= width / 2 + SLACK and abs(b - y) <= height / 2 + SLACK
        for a, b in zip(values[BOX::2], values[BOX + 1 :: 2], strict=True)
    )


def _second_pair_is_far(values: Sequence[float]) -> bool:
    """Tell whether the second point is farther from the others than they span."""
    for second, others in (
        (values[2], (values[0], *values[BOX::2])),
        (values[3], (values[1], *values[BOX + 1 :: 2])),
    ):
        low, high = min(others), max(others)
        if max(low - second, second - high) > max(high - low, SLACK):
            return True
    return False
