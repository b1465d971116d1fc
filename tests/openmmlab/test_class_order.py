import pytest

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.class_order import (
    class_names,
    compare_classes,
    list_names,
)

PARTS = 'the checkpoint', 'the test data'


@pytest.mark.parametrize(
    ('first', 'second', 'name'),
    [
        (('a', 'b', 'c'), ('c', 'b', 'a'), "'a' is number 0 in one and number 2"),
        (('a', 'b', 'c'), ('a', 'c', 'b'), "'b' is number 1 in one and number 2"),
        # a class was put before the others, and one renamed
        (('car', 'bus', 'van'), ('none', 'car', 'bus'), "'car' is number 0"),
    ],
)
def test_a_name_at_two_positions_is_an_error(first, second, name):
    with pytest.raises(UserError, match=name) as caught:
        compare_classes(first, second, PARTS, 'write one order')
    message = str(caught.value)
    assert f'the checkpoint has the classes {", ".join(first)}' in message
    assert f'in another order, {", ".join(second)}:' in message
    assert message.endswith('swapped; write one order')


def test_two_names_of_one_position_are_a_warning():
    warning = compare_classes(('a', 'Bus'), ('a', 'bus'), PARTS, '')
    assert warning.endswith("under two names, 'Bus' and 'bus'")
    assert 'number 1 is taken' in warning


@pytest.mark.parametrize(
    ('first', 'second'), [(('a', 'b'), ['a', 'b']), (('a', 'b'), ('b', 'a', 'c'))]
)
def test_what_is_equal_or_cannot_be_compared_is_silent(first, second):
    assert compare_classes(first, second, PARTS, '') is None


@pytest.mark.parametrize(
    ('meta', 'names'),
    [
        (None, None),
        ({}, None),
        ({'classes': None}, None),
        ({'classes': 'crack'}, ('crack',)),
        ({'classes': ['a', 'b']}, ('a', 'b')),
    ],
)
def test_names_are_read_however_they_are_kept(meta, names):
    assert class_names(meta) == names


def test_long_lists_are_cut():
    assert list_names(range(9)) == '0, 1, 2, 3, 4, 5, 6, 7, ... (9 in all)'
    assert list_names('ab') == 'a, b'
