import subprocess
import sys

import cv2
import numpy as np
import pytest

from convnext_backbone.demo_scenes import CLASSES, draw_scene, scenes


def rng(k):
    return np.random.default_rng([7, 0, k])


@pytest.fixture(scope='module')
def drawn():
    return [draw_scene(rng(k), 160) for k in range(30)]


def test_types_and_shapes(drawn):
    for scene in drawn:
        count = len(scene.labels)
        assert scene.image.shape == (160, 160, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.shape == (count, 160, 160)
        assert scene.masks.dtype == bool
        assert scene.labels.dtype == np.int64
        assert scenes.OBJECTS[0] <= count <= scenes.OBJECTS[1]


def test_masks_are_disjoint_and_large_enough(drawn):
    for scene in drawn:
        assert scene.masks.sum(axis=0).max() == 1
        assert scene.masks.sum(axis=(1, 2)).min() >= scenes.MIN_VISIBLE_AREA


def test_scenes_vary(drawn):
    assert {int(label) for s in drawn for label in s.labels} == set(range(len(CLASSES)))
    fewest, most = scenes.OBJECTS
    assert {len(s.labels) for s in drawn} == set(range(fewest, most + 1))
    assert len({s.image.tobytes() for s in drawn}) == len(drawn)


def test_later_objects_hide_earlier_ones():
    hidden = 0
    for k in range(30):
        silhouettes, masks = scenes.place_objects(rng(k), 160)
        # Painting numbers back to front onto a wide canvas must give the masks.
        canvas = np.zeros((480, 480), int)
        areas = []
        for number, silhouette in enumerate(silhouettes, start=1):
            solid = silhouette.coverage >= 0.5
            x, y = np.add(silhouette.corner, 160)
            canvas[y : y + solid.shape[0], x : x + solid.shape[1]][solid] = number
            areas.append(solid.sum())
        picture = canvas[160:320, 160:320]
        for number, (mask, area) in enumerate(zip(masks, areas, strict=True), start=1):
            np.testing.assert_array_equal(mask, picture == number)
            assert mask.sum() >= scenes.MIN_VISIBLE_SHARE * area
            hidden += (canvas == number).sum() < 0.9 * area
    assert hidden > 10, 'scenes without occlusion are too easy'


def test_masks_lie_where_the_picture_has_its_edges(drawn):
    def edge_strength(shift):
        strengths = []
        for scene in drawn:
            grey = cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY).astype(np.float32)
            slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
            for mask in scene.masks:
                moved = np.roll(mask, shift, axis=(0, 1)).astype(np.uint8)
                border = cv2.morphologyEx(moved, cv2.MORPH_GRADIENT, np.ones((3, 3)))
                strengths.append(slope[border > 0].mean())
        return np.mean(strengths)

    aligned = edge_strength((0, 0))
    for shift in ((0, 3), (3, 0), (0, -3), (-3, 0)):
        assert edge_strength(shift) < 0.75 * aligned


def test_a_scene_depends_on_its_generator_alone():
    np.random.seed(0)
    threads = cv2.getNumThreads()
    first = draw_scene(rng(3), 128)
    try:
        cv2.setNumThreads(1 if threads > 1 else 4)
        np.random.seed(1)
        again = draw_scene(rng(3), 128)
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert (draw_scene(rng(4), 128).image != first.image).any()


@pytest.mark.parametrize('size', [96, 131, 512])
def test_other_sizes(size):
    for k in range(12 if size < 200 else 2):
        scene = draw_scene(rng(k), size)
        assert scene.image.shape == (size, size, 3)
        assert len(scene.labels) >= scenes.OBJECTS[0]


@pytest.mark.parametrize('size', [0, 95, 1025])
def test_impossible_sizes(size):
    with pytest.raises(ValueError, match=f'size={size}.*96 to 1024'):
        draw_scene(rng(0), size)


def test_drawing_needs_no_torch():
    code = 'import sys, convnext_backbone.demo_scenes; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0
