import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from convnext_backbone.demo_scenes import shapes


def shoelace(outline):
    x, y = outline.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


@pytest.mark.parametrize('name', shapes.CLASSES)
def test_outlines_lie_in_the_unit_circle(name):
    outline = np.concatenate(shapes.SHAPES[name])
    assert np.hypot(*outline.T).max() == pytest.approx(1)
    assert len(shapes.PALETTE) == len(shapes.CLASSES)


@pytest.mark.parametrize('name', shapes.CLASSES)
def test_coverage_has_the_area_of_the_outline(name):
    outlines = [30 * outline + (40.3, 17.8) for outline in shapes.SHAPES[name]]
    coverage, _ = shapes.rasterize(outlines)
    area = shoelace(outlines[0]) - sum(shoelace(hole) for hole in outlines[1:])
    assert coverage.sum() == pytest.approx(area, rel=0.02)
    assert coverage.dtype == np.float32
    assert set(np.unique(coverage * shapes.SUPERSAMPLING**2)) <= set(range(17))


def test_coverage_of_whole_pixels_is_exact():
    square = np.array([[2, 3], [6, 3], [6, 5], [2, 5]], float)
    coverage, (x, y) = shapes.rasterize([square])
    drawn = np.zeros((9, 9), np.float32)
    drawn[y : y + coverage.shape[0], x : x + coverage.shape[1]] = coverage
    # cv2 fills the outline itself too: up to one sub-pixel more on two sides.
    assert (drawn[3:5, 2:6] == 1).all()
    assert drawn.sum() - 8 <= (4 + 2 + 1) / shapes.SUPERSAMPLING
    assert ((drawn >= 0.5) == (drawn == 1)).all()


@pytest.mark.parametrize('name', shapes.CLASSES)
def test_coverage_agrees_with_pycocotools(name):
    outlines = [40 * outline + (50.0, 50.0) for outline in shapes.SHAPES[name]]
    coverage, (x, y) = shapes.rasterize(outlines)
    ours = np.zeros((100, 100), bool)
    height, width = coverage.shape
    ours[y : y + height, x : x + width] = coverage >= 0.5
    drawn = [
        coco_mask.decode(coco_mask.frPyObjects([outline.ravel().tolist()], 100, 100))
        for outline in outlines
    ]
    theirs = drawn[0][..., 0].astype(bool)
    for hole in drawn[1:]:
        theirs &= ~hole[..., 0].astype(bool)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.96


def test_a_ring_has_a_hole():
    coverage, _ = shapes.rasterize([30 * o for o in shapes.SHAPES['ring']])
    height, width = coverage.shape
    assert coverage[height // 2, width // 2] == 0
    assert coverage.sum() == pytest.approx(math.pi * 900 * (1 - 0.55**2), rel=0.02)


@pytest.mark.parametrize('label', range(len(shapes.CLASSES)))
def test_silhouettes_vary_and_keep_their_size(label):
    drawn = [
        shapes.random_silhouette(np.random.default_rng(k), label, 60, (100.0, 90.0))
        for k in range(20)
    ]
    areas = [s.coverage.sum() for s in drawn]
    plain, _ = shapes.rasterize([30 * o for o in shapes.SHAPES[shapes.CLASSES[label]]])
    assert max(areas) < 1.5 * plain.sum()
    assert min(areas) > 0.7 * plain.sum()
    assert len({round(s.angle, 3) for s in drawn}) == 20
    for silhouette in drawn:
        (x, y), (height, width) = silhouette.corner, silhouette.coverage.shape
        assert x < 100 < x + width
        assert y < 90 < y + height
        assert max(height, width) < 110
        # The margin of one pixel is blank, or the outline has been cut off.
        assert not silhouette.coverage[[0, -1]].any()
        assert not silhouette.coverage[:, [0, -1]].any()
