"""Points of a curve, and where it reaches a height."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.statistics.curves import crossing, powers


def test_powers() -> None:
    assert powers(1) == [1]
    assert powers(8) == [1, 2, 4, 8]
    assert powers(9, 2) == [2, 4, 8, 9]
    assert powers(63, 4) == [4, 8, 16, 32, 63]
    assert powers(3, 4) == [3], "a last point below the first is the only one"


@given(st.integers(1, 5000), st.integers(1, 64))
def test_powers_rise_and_end_at_the_last(last: int, first: int) -> None:
    found = powers(last, first)
    assert found == sorted(set(found))
    assert found[-1] == last
    assert all(first <= power and math.log2(power).is_integer() for power in found[:-1])


def test_crossing_by_hand() -> None:
    points = [(1.0, 0.5), (2.0, 0.9), (4.0, 1.0), (8.0, 1.0)]
    assert crossing(points) == pytest.approx(2 * math.sqrt(2)), "half-way on the logarithm of x"
    assert crossing(points, 0.7) == pytest.approx(math.sqrt(2))
    assert crossing(points, 0.9) == pytest.approx(2.0)
    assert crossing(points, 1.0) == pytest.approx(4.0)
    assert crossing(points, 0.5) == crossing(points, 0.1) == 1.0, "it starts above the height"
    assert crossing(points[:2]) is None
    assert crossing([]) is None
    assert crossing([(1, 0.5), (2, 0.96), (4, 0.6), (8, 1.0)]) < 2, "the first crossing counts"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.05, 1))
def test_a_crossing_lies_between_the_points_around_it(heights: list[float], height: float) -> None:
    points = [(2.0**i, y) for i, y in enumerate(heights)]
    found = crossing(points, height)
    reached = [x for x, y in points if y >= height]
    assert (found is None) == (not reached)
    if found is not None:
        assert reached[0] / 2 - 1e-9 <= found <= reached[0] + 1e-9
