"""The algebra of windows against plain sets of cells."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn.analysis.windows import JumpMismatch, Window, hull

slides = st.fixed_dictionaries(
    {
        'size': st.integers(1, 5),
        'stride': st.integers(1, 4),
        'padding': st.integers(-3, 4),
        'dilation': st.integers(1, 3),
        'base_dilation': st.integers(1, 3),
    }
)


def cells_seen(chain, index):
    """All input cells that cell `index` behind a chain of slides sees, by following every tap."""
    seen = {index}
    for op in reversed(chain):
        places = {i * op['stride'] + tap * op['dilation'] - op['padding'] for i in seen for tap in range(op['size'])}
        seen = {place // op['base_dilation'] for place in places if place % op['base_dilation'] == 0}
    return seen


@settings(max_examples=150, deadline=None)
@given(st.lists(slides, max_size=4))
def test_window_is_the_hull_of_the_cells_seen(chain):
    window = Window()
    for op in chain:
        window = window.slide(**op)
    for index in range(-3, 9):
        seen = cells_seen(chain, index)
        assert window.interval(index) == ((min(seen), max(seen)) if seen else None)


@settings(max_examples=50, deadline=None)
@given(st.lists(slides, max_size=3), st.integers(1, 9))
def test_flip_reads_backwards_and_hull_gathers(chain, cells):
    window = Window()
    for op in chain:
        window = window.slide(**op)
    flipped = window.flip(cells)
    intervals = [window.interval(i) for i in range(cells)]
    assert [flipped.interval(i) for i in range(cells)] == intervals[::-1]
    assert window.hull(cells) == hull(*intervals)


@settings(max_examples=50, deadline=None)
@given(slides, slides)
def test_join_holds_both_and_refuses_unequal_strides(a, b):
    one, two = Window().slide(**a), Window().slide(**b)
    if Fraction(a['stride'], a['base_dilation']) != Fraction(b['stride'], b['base_dilation']):
        with pytest.raises(JumpMismatch):
            one.join(two)
        return
    joined = one.join(two)
    for i in range(8):
        assert joined.interval(i) == hull(one.interval(i), two.interval(i))


def test_a_window_by_hand():
    # 11 taps at stride 4, then 3 at stride 2: AlexNet's conv1 and pool1.
    window = Window().slide(11, 4).slide(3, 2)
    assert (window.size, window.jump, window.start) == (19, 8, 0)
    # Four taps over holes: every cell sees two of its input, two neighbours share one of them.
    up = Window().slide(4, padding=2, base_dilation=2)
    assert up.jump == Fraction(1, 2)
    assert [up.interval(i) for i in range(4)] == [(-1, 0), (0, 1), (0, 1), (1, 2)]
