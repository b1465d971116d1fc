import cv2
import numpy as np

from convnext_backbone.demo_scenes import PALETTE, draw_scene, preview, preview_sheet


def drawn(count):
    return [draw_scene(np.random.default_rng(k), 100) for k in range(count)]


def test_overlay_tints_objects_in_the_colour_of_their_class():
    (scene,) = drawn(1)
    picture = preview.overlay(scene).astype(int)
    grey = cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY)
    outside = ~scene.masks.any(axis=0)
    assert np.ptp(picture[outside], axis=-1).max() == 0  # grey
    for label, mask in zip(scene.labels, scene.masks, strict=True):
        tint = np.median(picture[mask], axis=0)[::-1]
        tints = 0.4 * np.median(grey[mask]) + 0.6 * np.array(PALETTE)
        distance = np.abs(tints - tint).sum(axis=1)
        assert distance.argmin() == label


def test_contact_sheet_holds_every_scene_and_its_overlay():
    scenes = drawn(5)
    sheet = preview_sheet(scenes, columns=2)
    gap, step = preview.GAP, 100 + preview.GAP
    assert sheet.shape == (6 * step + gap + preview.LEGEND, 2 * step + gap, 3)
    for number, scene in enumerate(scenes):
        x, y = gap + number % 2 * step, gap + number // 2 * 2 * step
        cell = sheet[y:, x : x + 100]
        np.testing.assert_array_equal(cell[:100], scene.image)
        np.testing.assert_array_equal(cell[step : step + 100], preview.overlay(scene))
    legend = {tuple(pixel) for pixel in sheet[-preview.LEGEND :].reshape(-1, 3)}
    assert legend >= {colour[::-1] for colour in PALETTE}
