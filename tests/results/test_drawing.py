import cv2
import numpy as np
import pytest

from convnext_backbone.results.drawing import default_palette, draw_instances

EDGES = {
    'top left': (0, 0, 40, 40),
    'top right': (180, 2, 199, 60),
    'left': (-8, 100, 40, 140),
    'right': (190, 100, 199, 140),
}


def drawn(box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((200, 200, 3), 90, np.uint8)
    boxes, labels = np.array([box], float), np.array([0])
    return draw_instances(image, boxes, labels, ['person'], default_palette(1))


def test_a_name_stands_above_its_box():
    rows, columns = np.nonzero((drawn((60, 100, 140, 160)) != 90).any(axis=2))
    assert (columns.min(), columns.max(), rows.max()) == (60, 140, 160)
    assert 85 <= rows.min() <= 90


@pytest.mark.parametrize('box', EDGES.values(), ids=EDGES)
def test_a_name_at_the_edge_of_the_picture_is_drawn_whole(box):
    (width, height), _ = cv2.getTextSize('person', cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    whole = drawn((60, 100, 140, 160))[99 - height : 99, 61 : 61 + width]
    places = np.lib.stride_tricks.sliding_window_view(drawn(box), whole.shape)
    assert (places == whole).all(axis=(-3, -2, -1)).any()
