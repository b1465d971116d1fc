"""A contact sheet of scenes with their annotations drawn over them."""

from collections.abc import Sequence

import cv2
import numpy as np

from convnext_backbone.demo_scenes.scenes import Scene
from convnext_backbone.demo_scenes.shapes import CLASSES, PALETTE

GAP = 6  # pixels between pictures
LEGEND = 28  # pixels, height of the legend
PAPER = 255


def overlay(scene: Scene) -> np.ndarray:
    """Tint every object of a scene in its class's colour and outline it.

    Returns:
        The picture, uint8 (H, W, 3), BGR.
    """
    # Greyed, or a red object in a blue class would confuse.
    grey = cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    for label, mask in zip(scene.labels, scene.masks, strict=True):
        colour = PALETTE[label][::-1]
        tint = 0.4 * picture[mask] + 0.6 * np.array(colour)
        picture[mask] = np.round(tint).astype(np.uint8)
    for mask in scene.masks:
        outlines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outlines, -1, (255, 255, 255), 1)
    return picture


def preview_sheet(scenes: Sequence[Scene], columns: int = 4) -> np.ndarray:
    """Lay out scenes, each above its annotation, over a legend of the classes.

    Args:
        scenes: Scenes of one size; a multiple of `columns` leaves no blanks.
        columns: Pictures a row.

    Returns:
        The sheet, uint8 (H, W, 3), BGR.
    """
    height, width = scenes[0].image.shape[:2]
    rows = -(-len(scenes) // columns)
    sheet = np.full(
        (
            rows * 2 * (height + GAP) + GAP + LEGEND,
            columns * (width + GAP) + GAP,
            3,
        ),
        PAPER,
        np.uint8,
    )
    for number, scene in enumerate(scenes):
        row, column = divmod(number, columns)
        x = GAP + column * (width + GAP)
        for part, picture in enumerate((scene.image, overlay(scene))):
            y = GAP + (2 * row + part) * (height + GAP)
            sheet[y : y + height, x : x + width] = picture
    _draw_legend(sheet[-LEGEND:])
    return sheet


def _draw_legend(strip: np.ndarray) -> None:
    """Write the classes in their colours into a blank strip (h, w, 3)."""
    height, width = strip.shape[:2]
    cell = (width - GAP) // len(CLASSES)
    for label, name in enumerate(CLASSES):
        x = GAP + label * cell
        corners = (x, 5), (x + 16, height - 9)
        cv2.rectangle(strip, *corners, PALETTE[label][::-1], cv2.FILLED)
        cv2.putText(
            strip,
            name,
            (x + 23, height - 10),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (40, 40, 40),
            1,
            cv2.LINE_AA,
        )
