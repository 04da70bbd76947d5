"""Shares of mixed streams: estimators and intervals against planted shares, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from natfp_bench.statistics import dilution
from natfp_bench.statistics.dilution import Pair
from natfp_bench.statistics.intervals import Floats

APART = 1.5
"""Log-odds are normal with this standard deviation, and with half of its square as mean: then they are exact."""

SHARES = (0.0, 0.05, 0.25, 0.5, 1.0)


def odds(rng: np.random.Generator, *shape: int, by_a: bool) -> Floats:
    """Log-odds that the likelihoods of two models would give for texts by one of them."""
    mean = APART**2 / 2
    return rng.normal(mean if by_a else -mean, APART, shape)


def streams(rng: np.random.Generator, share: float, number: int, texts: int) -> Floats:
    """Streams of which each text is by A with a probability."""
    by_a = rng.random((number, texts)) < share
    return np.where(by_a, odds(rng, number, texts, by_a=True), odds(rng, number, texts, by_a=False))


def wrong(true: Floats) -> Floats:
    """Odds of an attributor that is too sure, and that prefers A."""
    return 2 * true + 1


@pytest.mark.parametrize("share", SHARES)
def test_intervals_of_likelihoods_cover_the_planted_share(share: float) -> None:
    made = dilution.most_likely(streams(np.random.default_rng(1), share, 800, 200))
    covered = ((made.low <= share) & (share <= made.high)).mean()
    # At an edge, only one side can miss: then 0.975 is aimed at.
    aim = 0.975 if share in (0, 1) else 0.95
    assert abs(covered - aim) < 0.025
    inside = share in (0.25, 0.5)
    assert not inside or abs(made.share.mean() - share) < 0.01


@pytest.mark.parametrize("share", SHARES)
def test_intervals_of_a_miscalibrated_attributor_cover_the_planted_share(share: float) -> None:
    rng = np.random.default_rng(2)
    drawn = [streams(rng, share, 800, 200), odds(rng, 800, 300, by_a=True), odds(rng, 800, 300, by_a=False)]
    made = dilution.corrected(*map(wrong, drawn))
    covered = ((made.low <= share) & (share <= made.high)).mean()
    aim = 0.975 if share in (0, 1) else 0.95
    assert abs(covered - aim) < 0.025
    inside = share in (0.25, 0.5)
    assert not inside or abs(made.share.mean() - share) < 0.015


def test_calibration_texts_widen_the_interval() -> None:
    """A fixed few calibration texts: an interval that ignored them would cover far less."""
    rng = np.random.default_rng(3)
    drawn = [streams(rng, 0.5, 600, 2000), odds(rng, 600, 30, by_a=True), odds(rng, 600, 30, by_a=False)]
    made = dilution.corrected(*map(wrong, drawn))
    assert abs(((made.low <= 0.5) & (made.high >= 0.5)).mean() - 0.95) < 0.035


def test_maximum_and_ends_are_those_of_scipy() -> None:
    given = streams(np.random.default_rng(4), 0.3, 3, 100)
    made = dilution.most_likely(given)
    for at in range(3):
        ratio = np.exp(given[at])

        def loss(share: float, ratio: Floats = ratio) -> float:
            return -float(np.log(share * ratio + 1 - share).sum())

        best = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-9})
        assert made.share[at] == pytest.approx(best.x, abs=1e-5)
        for end, edge in ((made.low[at], 0.0), (made.high[at], 1.0)):
            over = 2 * (loss(end) - best.fun)
            assert over == pytest.approx(dilution.Z**2, abs=1e-3) or (end == edge and over < dilution.Z**2)


def test_texts_without_evidence_bound_nothing() -> None:
    nothing = np.zeros((2, 50))
    for made in (dilution.most_likely(nothing), dilution.corrected(nothing, nothing, nothing)):
        assert made.low.tolist() == [0, 0]
        assert made.high.tolist() == [1, 1]


def test_certain_texts_leave_the_binomial_interval() -> None:
    """If each text names its model for sure, the share is a proportion."""
    sure = np.full((1, 100), -np.inf)
    sure[0, :20] = np.inf
    made = dilution.most_likely(sure)
    assert made.share[0] == pytest.approx(0.2, abs=1e-4)
    assert made.low[0] == pytest.approx(0.13, abs=0.01)
    assert made.high[0] == pytest.approx(0.29, abs=0.01)


def test_streams_of_known_texts_say_how_good_an_attributor_is() -> None:
    rng = np.random.default_rng(5)
    true = [Pair(odds(rng, 800, by_a=True), odds(rng, 800, by_a=False)) for _ in range(6)]
    exact = dilution.diluted("ceiling", true, SHARES, 400, 0, exact=True)
    biased = dilution.diluted("words", [Pair(*map(wrong, pair)) for pair in true], SHARES, 400, 0)
    assert (exact.streams, biased.texts) == (240, 400)
    for found in (exact, biased):
        assert all(0.88 <= one.coverage <= 1 for one in found.at)
        assert found.at[0].detected <= 0.06, "false alarms where nothing is mixed in"
        assert all(abs(one.bias) < 0.04 for one in found.at)
    middle = biased.at[2]
    assert middle.uncorrected is not None
    assert middle.uncorrected - middle.share > 0.1, "probabilities that are trusted mislead"
    assert exact.at[2].uncorrected is None
    assert exact.smallest is not None
    assert biased.smallest is not None
    assert 0 < exact.smallest < biased.smallest < 0.25
    assert dilution.diluted("ceiling", true, SHARES, 400, 0, exact=True) == exact


def test_more_texts_find_smaller_shares() -> None:
    rng = np.random.default_rng(6)
    pairs = [Pair(odds(rng, 800, by_a=True), odds(rng, 800, by_a=False))]
    few, many = (dilution.diluted("ceiling", pairs, SHARES, size, 0, exact=True) for size in (50, 400))
    assert few.smallest is not None
    assert many.smallest is not None
    assert many.smallest < few.smallest / 2


def test_no_text_is_in_a_stream_and_calibrates_it() -> None:
    places = np.arange(20, dtype=np.float64)
    by_a, by_b, chance, of_a, of_b = dilution._drawn(Pair(places, places + 100), 0, 5, 10, 0)
    assert (by_b - 100 == by_a).all()
    assert (of_b - 100 == of_a).all()
    for stream, known in zip(by_a, of_a, strict=True):
        assert sorted([*stream, *known]) == places.tolist()
    assert chance.shape == (5, 10)
    with pytest.raises(ValueError, match="take 22 units, not 20"):
        dilution._drawn(Pair(places, places), 0, 5, 11, 0)


def test_sizes_leave_half_of_the_texts_for_calibration() -> None:
    assert dilution.sizes(2000) == [100, 400, 1000]
    assert dilution.sizes(1999) == [100, 400]
    assert dilution.sizes(50) == [25]
    assert dilution.sizes(3) == []


def test_a_height_is_interpolated_between_points() -> None:
    assert dilution.reached([(0, 0.0), (0.1, 0.4), (0.3, 1.0)]) == pytest.approx(0.1 + 0.2 * 0.4 / 0.6)
    assert dilution.reached([(0, 0.0), (0.1, 1.0)]) == 0.1, "nothing is known below the first share"
    assert dilution.reached([(0, 0.1), (0.1, 0.7)]) is None
