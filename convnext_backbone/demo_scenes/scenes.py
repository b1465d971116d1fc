"""Draws the demo scenes: objects of several classes that occlude one another.

A scene is a function of its random generator alone. Objects are placed first
and painted afterwards, back to front, so that every object that was painted is
also annotated, by exactly its visible pixels.
"""

import math
from dataclasses import dataclass

import numpy as np

from convnext_backbone.demo_scenes import painting
from convnext_backbone.demo_scenes.shapes import (
    CLASSES,
    Silhouette,
    class_hue,
    random_silhouette,
)
from convnext_backbone.foundation.errors import UserError

OBJECTS = (3, 5)  # fewest and most objects of a scene
DIAMETERS = (0.2, 0.45)  # of an object, in picture sizes
# The share of objects with the colour and the texture of their class. The others are
# recognised by their shape alone.
TYPICAL_SHARE = 0.95
MIN_VISIBLE_SHARE = 0.4  # of an object's whole area, occluded or cut off
MIN_VISIBLE_AREA = 60  # pixels
SIZES = (96, 1024)  # pictures on which such objects exist and are drawn soon


@dataclass(frozen=True)
class Scene:
    """A picture and what is to be seen in it.

    Attributes:
        image: uint8 (H, W, 3), BGR.
        labels: Class of every object, index into `CLASSES`, int64 (N,).
        masks: Visible pixels of every object, bool (N, H, W); no pixel belongs
            to two objects.
    """

    image: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


def draw_scene(rng: np.random.Generator, size: int) -> Scene:
    """Draw one scene.

    Args:
        rng: Source of the random numbers; the only thing the scene depends on
            besides its size.
        size: Height and width of the picture, pixels.

    Returns:
        The scene.

    Raises:
        UserError: If the size lies outside `SIZES`.
    """
    check_size(size)
    silhouettes, masks = place_objects(rng, size)
    angle = rng.uniform(0, 2 * math.pi)
    light = math.cos(angle), math.sin(angle)

    canvas = painting.background(rng, size)
    for silhouette in silhouettes:
        _cast_shadow(rng, canvas, silhouette, light)
        _paint(rng, canvas, silhouette, light)
    labels = np.array([s.label for s in silhouettes], np.int64)
    return Scene(painting.relight(rng, canvas), labels, masks)


def check_size(size: int) -> None:
    """Raise UserError if scenes of a size in pixels cannot be drawn."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise UserError(
            f'size={size}: demo scenes are {SIZES[0]} to {SIZES[1]} pixels a side'
        )


def place_objects(
    rng: np.random.Generator, size: int
) -> tuple[list[Silhouette], np.ndarray]:
    """Choose objects, back to front, that all stay recognisable.

    A candidate that would leave an earlier object, or be left itself, with too
    little to see is rejected: there is no object in the picture that is not
    annotated, and none that nobody could name.

    Args:
        rng: Source of the random numbers.
        size: Height and width of the picture, pixels.

    Returns:
        The silhouettes and their visible pixels, bool (N, size, size).
    """
    wanted = rng.integers(OBJECTS[0], OBJECTS[1] + 1)
    silhouettes: list[Silhouette] = []
    areas: list[int] = []  # of the whole object, occluded or not
    masks = np.zeros((0, size, size), bool)
    low, high = (math.log(share * size) for share in DIAMETERS)
    for _ in range(50 * wanted):
        if len(silhouettes) == wanted:
            break
        candidate = random_silhouette(
            rng,
            label=int(rng.integers(len(CLASSES))),
            diameter=math.exp(rng.uniform(low, high)),
            centre=tuple((size * rng.uniform(0.06, 0.94, size=2)).tolist()),
        )
        mask = np.zeros((size, size), bool)
        picture, window = _overlap(candidate, candidate.corner, size)
        mask[picture] = candidate.coverage[window] >= 0.5
        visible = np.concatenate([masks & ~mask, mask[None]])
        candidate_areas = [*areas, int((candidate.coverage >= 0.5).sum())]
        seen = visible.sum(axis=(1, 2))
        needed = np.maximum(
            MIN_VISIBLE_AREA, MIN_VISIBLE_SHARE * np.array(candidate_areas)
        )
        if (seen >= needed).all():
            silhouettes.append(candidate)
            areas, masks = candidate_areas, visible
    assert len(silhouettes) >= OBJECTS[0], 'a scene must have room for its objects'
    return silhouettes, masks


def _cast_shadow(
    rng: np.random.Generator,
    canvas: np.ndarray,
    silhouette: Silhouette,
    light: tuple[float, float],
) -> None:
    """Darken the canvas beside an object, away from the light."""
    size = len(canvas)
    length = rng.uniform(0.008, 0.03) * size
    x, y = silhouette.corner
    corner = round(x - length * light[0]), round(y - length * light[1])
    shade = np.zeros((size, size), np.float32)
    picture, window = _overlap(silhouette, corner, size)
    shade[picture] = silhouette.coverage[window]
    shade = painting.soften(shade, sigma=0.012 * size)
    canvas *= (1 - rng.uniform(0.2, 0.5) * shade)[..., None]


def _paint(
    rng: np.random.Generator,
    canvas: np.ndarray,
    silhouette: Silhouette,
    light: tuple[float, float],
) -> None:
    """Paint an object over the canvas."""
    picture, window = _overlap(silhouette, silhouette.corner, len(canvas))
    coverage = silhouette.coverage[window]
    covered = canvas[picture]

    # Pixel centres in radii from the object's centre, (h, w), along the
    # picture's axes (x, y) and along the object's own (u, v).
    rows, columns = picture
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5
    y = np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5
    x, y = np.meshgrid(
        (x - silhouette.centre[0]) / silhouette.radius,
        (y - silhouette.centre[1]) / silhouette.radius,
    )
    cos, sin = math.cos(silhouette.angle), math.sin(silhouette.angle)
    hue, texture = None, None
    if rng.random() < TYPICAL_SHARE:
        hue, texture = class_hue(silhouette.label), silhouette.label
    blend = painting.random_texture(
        rng, cos * x + sin * y, cos * y - sin * x, silhouette.radius, texture
    )[..., None]

    behind = covered[coverage > 0].mean(axis=0)
    first, second = painting.random_colour_pair(rng, behind, hue)
    shading = 1 + rng.uniform(0.05, 0.25) * (x * light[0] + y * light[1])
    shading += painting.relief(coverage, light)
    surface = (first + blend * (second - first)) * shading[..., None]
    canvas[picture] += coverage[..., None] * (surface - covered)


def _overlap(
    silhouette: Silhouette, corner: tuple[int, int], size: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Find where a silhouette with its window at a corner (x, y) meets the picture.

    Returns:
        Slices (rows, columns) of the picture, and the same pixels' slices of
        the silhouette's window.
    """
    x, y = corner
    height, width = silhouette.coverage.shape
    rows, window_rows = _overlap_along(y, height, size)
    columns, window_columns = _overlap_along(x, width, size)
    return (rows, columns), (window_rows, window_columns)


def _overlap_along(start: int, length: int, size: int) -> tuple[slice, slice]:
    """Find the overlap along one axis: a slice of the picture, one of the window."""
    low, high = max(start, 0), max(min(start + length, size), 0)
    high = max(low, high)
    return slice(low, high), slice(low - start, high - start)
