"""The object classes of the demo data set: outlines and how they are rasterised.

Every class is one row of a table of unit outlines, so that all of them share
one way of being rotated, stretched, tilted and drawn.
"""

import colorsys
import math
from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLING = 4  # sub-pixels per pixel and axis, for smooth edges


def _regular(corners: int, radius: float = 1.0) -> np.ndarray:
    """Return the corners of a regular polygon around the origin, (corners, 2)."""
    angles = 2 * math.pi * np.arange(corners) / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _star(points: int, inner: float) -> np.ndarray:
    """Return a star with its tips on the unit circle, (2 * points, 2)."""
    star = _regular(2 * points)
    star[1::2] *= inner
    return star


def _cross(arm: float) -> np.ndarray:
    """Return a plus sign in the unit circle whose arms are 2 * arm wide, (12, 2)."""
    tip = math.sqrt(1 - arm**2)
    corner = np.array([[tip, -arm], [tip, arm], [arm, arm]])
    turn = np.array([[0, 1], [-1, 0]])  # a quarter turn, applied from the right
    return np.concatenate([corner @ np.linalg.matrix_power(turn, k) for k in range(4)])


# Class name -> closed outlines inside the unit circle. A second outline cuts a
# hole out of the first.
SHAPES: dict[str, tuple[np.ndarray, ...]] = {
    'disk': (_regular(64),),
    'ring': (_regular(64), _regular(64, 0.55)),
    'box': (_regular(4),),
    'triangle': (_regular(3),),
    'star': (_star(5, 0.45),),
    'cross': (_cross(0.32),),
}

CLASSES: tuple[str, ...] = tuple(SHAPES)

# Colours of the classes, in drawings of labels and on most of their objects, RGB.
PALETTE: tuple[tuple[int, int, int], ...] = (
    (230, 74, 64),
    (64, 132, 236),
    (250, 188, 46),
    (52, 176, 96),
    (160, 92, 214),
    (28, 190, 200),
)


def class_hue(label: int) -> float:
    """Return the hue in [0, 1) that most objects of a class have, that of `PALETTE`."""
    return colorsys.rgb_to_hsv(*(v / 255 for v in PALETTE[label]))[0]


@dataclass(frozen=True)
class Silhouette:
    """One object as it lies in the picture plane, before anything occludes it.

    Attributes:
        label: Index into `CLASSES`.
        coverage: Share of every pixel that the object covers, float32 (h, w) in
            [0, 1], over the object's whole extent, which may reach outside the
            picture.
        corner: Picture coordinates (x, y) of pixel (0, 0) of `coverage`, pixels.
        centre: Picture coordinates (x, y) of the object's centre, pixels.
        radius: Half the nominal diameter, pixels.
        angle: Rotation of the object's own axes, radians.
    """

    label: int
    coverage: np.ndarray
    corner: tuple[int, int]
    centre: tuple[float, float]
    radius: float
    angle: float


def random_silhouette(
    rng: np.random.Generator,
    label: int,
    diameter: float,
    centre: tuple[float, float],
) -> Silhouette:
    """Rotate, stretch and tilt the outline of a class at random.

    Args:
        rng: Source of the random numbers.
        label: Index into `CLASSES`.
        diameter: Size before stretching, pixels.
        centre: (x, y), pixels.

    Returns:
        The rasterised silhouette.
    """
    angle, shear_angle = rng.uniform(0, 2 * math.pi, size=2)
    stretch = math.exp(rng.uniform(-0.2, 0.2))
    tilt = rng.uniform(-0.12, 0.12, size=2)  # vanishing line, per unit radius

    # Stretching along an axis of its own keeps the class and varies its angles.
    axes = _rotation(shear_angle)
    stretching = axes @ np.diag([stretch, 1 / stretch]) @ axes.T
    linear = diameter / 2 * _rotation(angle) @ stretching
    outlines = [
        (unit / (1 + unit @ tilt)[:, None]) @ linear.T + centre
        for unit in SHAPES[CLASSES[label]]
    ]
    coverage, corner = rasterize(outlines)
    return Silhouette(label, coverage, corner, centre, diameter / 2, angle)


def rasterize(outlines: list[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw closed outlines, filled by the even-odd rule.

    Args:
        outlines: Arrays (P, 2) of corners (x, y) in pixels; pixel (i, j) spans
            i to i + 1 and j to j + 1.

    Returns:
        The share of every pixel that is covered, float32 (h, w) in [0, 1], for
        the smallest window of whole pixels around the outlines with a margin of
        one pixel; and the window's upper left pixel (x, y).
    """
    corners = np.concatenate(outlines)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    width, height = np.ceil(corners.max(axis=0)).astype(int) + 1 - low

    shift = 4  # fractional bits of the coordinates cv2 draws with
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    # cv2 has the centre of a pixel at whole numbers.
    points = [(outline - low) * SUPERSAMPLING - 0.5 for outline in outlines]
    cv2.fillPoly(
        fine,
        [np.round(p * 2**shift).astype(np.int32) for p in points],
        color=1,
        shift=shift,
    )
    # (h * s, w * s) -> (h, w)
    cells = fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    coverage = cells.sum(axis=(1, 3), dtype=np.float32) / SUPERSAMPLING**2
    return coverage, (int(low[0]), int(low[1]))


def _rotation(angle: float) -> np.ndarray:
    """Return the matrix (2, 2) that turns column vectors by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])
