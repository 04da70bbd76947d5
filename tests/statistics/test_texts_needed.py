"""How many texts are needed, against planted curves with the noise of test texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from natfp_bench.statistics.power_law import Law, Points, law_of
from natfp_bench.statistics.texts_needed import solved, texts_needed

TEXTS = np.array([250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])
UNITS, EACH = 10, 100


def planted(
    law: Law, ceiling: float, spread: float, draw: np.random.Generator, x: np.ndarray = TEXTS
) -> tuple[Points, float, list[float]]:
    """Bits of the same test texts at each number of training texts: easy texts are easy at every number, and above."""
    easy = spread * draw.standard_normal((UNITS, EACH))
    own = spread / 4 * draw.standard_normal((len(x), UNITS, EACH))
    bits = np.array([law.at(one) for one in x])[:, None, None] + easy + own
    top = ceiling + easy

    def without(unit: int) -> np.ndarray:
        return np.delete(np.arange(UNITS), unit)

    left_out = [(x, bits[:, without(unit)].mean(axis=(1, 2))) for unit in range(UNITS)]
    heights = [float(top[without(unit)].mean() / 2) for unit in range(UNITS)]
    return Points(x, bits.mean(axis=(1, 2)), left_out, "tenths of the rows"), float(top.mean() / 2), heights


@pytest.mark.parametrize(
    ("law", "how"),
    [
        (Law(1.6, -20.0, -0.5), "measured"),  # 1.0 at 1,111
        (Law(1.3, -30.0, -0.5), "extrapolated"),  # 1.0 at 10,000
        (Law(1.0 + 20 / math.sqrt(400_000), -20.0, -0.5), "beyond"),  # 1.0 at 400,000
    ],
)
def test_the_interval_covers_what_was_planted(law: Law, how: str) -> None:
    draw = np.random.default_rng(3)
    truth = solved(law, 1.0)
    assert truth is not None
    covered, found = 0, 0
    for _ in range(100):
        points, height, heights = planted(law, 2.0, 0.3, draw)
        needed = texts_needed(points, height, heights, law_of(points, "settles"))
        if needed.how == how:
            found += 1
            covered += needed.texts.low is None or needed.texts.low <= truth <= (needed.texts.high or 0)
    assert found > 60
    assert covered / found > 0.88


def test_a_planted_crossing_is_found_exactly() -> None:
    law = Law(1.6, -20.0, -0.5)
    points = Points(TEXTS, np.array([law.at(one) for one in TEXTS]), [], "x")
    needed = texts_needed(points, 1.0, [], None)
    assert needed.how == "measured"
    assert 1000 < needed.texts.value < 2000
    assert (needed.texts.low, needed.texts.n_units) == (None, 0)
    assert solved(law, 1.0) == pytest.approx((20 / 0.6) ** 2)


def test_without_a_law_that_held_nothing_is_said_beyond_the_points() -> None:
    flat = Points(TEXTS, np.linspace(0.1, 0.2, len(TEXTS)), [], "x")
    needed = texts_needed(flat, 1.0, [], law_of(flat, "settles"))
    assert (needed.how, needed.texts.value) == ("unknown", 8000)
    draw = np.random.default_rng(4)
    points, height, heights = planted(Law(1.3, -30.0, -0.5), 2.0, 0.05, draw)
    bent = [(x, np.where(x == x.max(), y - 0.5, y)) for x, y in [(points.x, points.y), *points.left_out]]
    other = Points(*bent[0], bent[1:], "x")
    assert texts_needed(other, height, heights, law_of(other, "settles")).how == "unknown"


def test_a_height_that_the_first_point_has_may_need_fewer() -> None:
    points = Points(TEXTS, np.full(len(TEXTS), 1.5), [], "x")
    needed = texts_needed(points, 1.0, [], None)
    assert (needed.how, needed.texts.value) == ("fewest", 250)


def test_a_law_below_the_height_never_gets_there() -> None:
    assert solved(Law(0.9, -20.0, -0.5), 1.0) is None
    assert solved(Law(0.9, 20.0, -0.5), 0.5) is None
    assert solved(Law(1.0 + 1e-12, -1e9, -0.05), 1.0) is None
