"""Statistics over replicates, compared with scipy, enumerations and simulations."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats

from natfp_bench.base.records import canonical_json
from natfp_bench.statistics import intervals, replication


def design(k: int, n_replicates: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels and replicates of k * n_replicates variants, replicate by replicate."""
    return np.tile(np.arange(k), n_replicates), np.repeat(np.arange(n_replicates), k)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_t_interval_agrees_with_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.6, 0.1, size=n)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = intervals.t_interval(values)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), expected.low, expected.high))
    assert (found.method, found.units, found.n_units) == ("t", "replicates", n)
    moved = intervals.t_interval(values, value=0.9)
    assert (moved.value, moved.high - moved.low) == pytest.approx((0.9, expected.high - expected.low))
    assert 0.9 - moved.low == pytest.approx(moved.high - 0.9)


def test_t_interval_of_few_or_equal_values() -> None:
    two = intervals.t_interval(np.array([0.5, 0.7]))
    assert two.model_dump() == {
        "value": 0.6, "low": None, "high": None, "method": "none", "units": "replicates", "n_units": 2
    }  # fmt: skip
    equal = intervals.t_interval(np.full(3, 0.1))
    assert equal.low == equal.high == equal.value == 0.1
    wide = intervals.t_interval(np.array([0.9, 1.0, 1.0]))
    assert wide.high > 1  # not clipped
    with pytest.raises(ValueError, match="no replicates"):
        intervals.t_interval(np.array([]))


def test_t_interval_covers() -> None:
    rng = np.random.default_rng(0)
    for n in (3, 10):
        found = [intervals.t_interval(values) for values in rng.normal(size=(1000, n))]
        covered = sum(i.low <= 0 <= i.high for i in found if i.low is not None and i.high is not None)
        assert abs(covered - 950) < 4 * math.sqrt(1000 * 0.95 * 0.05)


@pytest.mark.parametrize(("k", "n_replicates"), [(2, 2), (2, 4), (3, 2), (3, 3)])
def test_relabelings_are_all_distinct_ones(k: int, n_replicates: int) -> None:
    """Compared with brute force over all (k!)^R labellings; those that differ by names only count once."""
    levels, replicates = design(k, n_replicates)
    relabelled, total = replication.relabelings(levels, replicates, 10_000, seed=0)
    assert total == math.factorial(k) ** (n_replicates - 1) == len(relabelled) + 1

    def nameless(labels: np.ndarray) -> tuple[int, ...]:
        names: dict[int, int] = {}
        return tuple(names.setdefault(int(label), len(names)) for label in labels)

    every = itertools.product(itertools.permutations(range(k)), repeat=n_replicates)
    brute = {nameless(np.concatenate(blocks)) for blocks in every} - {nameless(levels)}
    assert {nameless(row) for row in relabelled} == brute
    assert len(brute) == len(relabelled)


def test_relabelings_keep_the_design_whatever_the_order_of_variants() -> None:
    rng = np.random.default_rng(0)
    levels, replicates = (part[rng.permutation(12)] for part in design(3, 4))
    with pytest.raises(ValueError, match="every level exactly once"):
        replication.relabelings(levels, replicates, 10, seed=0)
    order = rng.permutation(12)
    levels, replicates = (part[order] for part in design(3, 4))
    levels, replicates = 7 - 3 * levels, 10 + replicates  # names are arbitrary
    for limit in (50, 1000):
        relabelled, total = replication.relabelings(levels, replicates, limit, seed=0)
        assert (len(relabelled), total) == (min(limit, 215), 216)
        assert len({tuple(row) for row in relabelled.tolist()}) == len(relabelled)
        for row in relabelled:
            assert not np.array_equal(row, levels)
            assert np.array_equal(row[replicates == 10], levels[replicates == 10])
            for replicate in range(10, 14):
                assert sorted(row[replicates == replicate]) == sorted(set(levels))


def test_drawn_relabelings_are_uniform_and_named_by_their_seed() -> None:
    levels, replicates = design(3, 3)
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(400):
        for row in replication.relabelings(levels, replicates, 7, seed)[0].tolist():
            counts[tuple(row)] = counts.get(tuple(row), 0) + 1
    assert len(counts) == 35
    # Without replacement, counts vary less than a multinomial's, so this test fails too rarely rather than too often.
    assert scipy.stats.chisquare([*counts.values()]).pvalue > 1e-3
    first, again, other = (replication.relabelings(levels, replicates, 7, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_relabelings_at_their_limits() -> None:
    levels, replicates = design(4, 1)
    assert replication.relabelings(levels, replicates, 100, seed=0)[0].shape == (0, 4)
    assert replication.relabelings(levels, replicates, 100, seed=0)[1] == 1
    levels, replicates = design(2, 4)
    assert len(replication.relabelings(levels, replicates, 7, seed=0)[0]) == 7
    assert len(replication.relabelings(levels, replicates, 6, seed=0)[0]) == 6
    assert replication.relabelings(levels, replicates, 0, seed=0)[0].shape == (0, 8)
    many, total = replication.relabelings(*design(49, 3), 20, seed=0)
    assert (len(many), total) == (20, math.factorial(49) ** 2)
    for broken in ([0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 2]):
        with pytest.raises(ValueError, match="every level exactly once"):
            replication.relabelings(np.array(broken), np.array([0, 0, 1, 1][: len(broken)]), 10, seed=0)


def test_permutation_test_by_hand() -> None:
    found = replication.permutation_test(0.5, np.array([0.1, 0.5 - 1e-14, 0.7, 0.2]), total=5)
    assert found.model_dump() == {
        "p": 3 / 5, "smallest": 1 / 5, "permutations": 4, "exhaustive": True, "testable": False
    }  # fmt: skip
    strong = replication.permutation_test(1.0, np.zeros(19), total=1000)
    assert strong.p == strong.smallest == 0.05
    assert strong.testable
    assert not strong.exhaustive
    none = replication.permutation_test(1.0, np.array([]), total=1)
    assert (none.p, none.smallest, none.testable) == (1.0, 1.0, False)


def squared_distances(points: np.ndarray) -> np.ndarray:
    return np.asarray((points[:, None] - points) ** 2)


@pytest.mark.parametrize(("k", "n_replicates"), [(2, 3), (3, 4), (5, 2)])
def test_pseudo_f_is_the_f_of_analysis_of_variance(k: int, n_replicates: int) -> None:
    levels, replicates = design(k, n_replicates)
    points = np.random.default_rng(k).normal(size=len(levels)) + levels
    found = replication.permanova(squared_distances(points), levels, replicates, 50, seed=0)
    assert found.f == pytest.approx(scipy.stats.f_oneway(*(points[levels == level] for level in range(k))).statistic)
    between = sum(n_replicates * (points[levels == level].mean() - points.mean()) ** 2 for level in range(k))
    assert found.r2 == pytest.approx(between / np.sum((points - points.mean()) ** 2))
    # Only the symmetric part of the divergence counts.
    skew = np.random.default_rng(0).normal(size=(len(levels), len(levels)))
    again = replication.permanova(squared_distances(points) + skew - skew.T, levels, replicates, 50, seed=0)
    assert again.f == pytest.approx(found.f)


def test_permanova_p_is_that_of_the_blocked_f() -> None:
    """The F without the replicates' share, permuted by hand over all relabelings, has the same p-value."""
    levels, replicates = design(3, 3)
    rng = np.random.default_rng(5)
    points = rng.normal(size=9) + 5 * rng.normal(size=3)[replicates] + 0.7 * levels

    def blocked_f(labels: np.ndarray) -> float:
        centred = points - np.array([points[replicates == r].mean() for r in replicates])
        fitted = np.array([centred[labels == label].mean() for label in labels])
        return float((fitted**2).sum() / ((centred - fitted) ** 2).sum())

    relabelled, _ = replication.relabelings(levels, replicates, 100, seed=0)
    reached = sum(blocked_f(row) >= blocked_f(levels) - 1e-12 for row in relabelled)
    found = replication.permanova(squared_distances(points), levels, replicates, 100, seed=0)
    assert found.test.p == pytest.approx((1 + reached) / 36)
    assert 1 / 36 < found.test.p < 0.9


def test_permanova_p_is_uniform_without_a_factor() -> None:
    levels, replicates = design(3, 3)
    rng = np.random.default_rng(0)
    p = []
    for _ in range(400):
        # Replicates differ, levels do not.
        points = rng.normal(size=9) + 3 * rng.normal(size=3)[replicates]
        found = replication.permanova(squared_distances(points), levels, replicates, 100, seed=0)
        p.append(found.test.p)
    for level in (2 / 36, 0.25, 0.5, 0.75):
        share, error = np.mean(np.array(p) <= level + 1e-12), math.sqrt(level * (1 - level) / 400)
        assert abs(share - level) < 4 * error


def test_permanova_finds_planted_levels() -> None:
    levels, replicates = design(3, 4)
    points = 10.0 * levels + np.random.default_rng(0).normal(size=12)
    found = replication.permanova(squared_distances(points), levels, replicates, 999, seed=0)
    assert found.test.p == found.test.smallest == 1 / 216
    assert found.test.exhaustive
    assert found.r2 > 0.97
    json.loads(canonical_json(found))


def test_permanova_if_there_is_nothing_to_compare() -> None:
    levels, replicates = design(2, 3)
    infinite = squared_distances(np.arange(6.0))
    infinite[0, 1] = np.inf
    assert replication.permanova(infinite, levels, replicates, 9, seed=0) is None
    assert replication.permanova(np.full((6, 6), np.nan), levels, replicates, 9, seed=0) is None
    assert replication.permanova(squared_distances(np.arange(4.0)), *design(4, 1), 9, seed=0) is None
    assert replication.permanova(squared_distances(np.arange(4.0)), *design(1, 4), 9, seed=0) is None
    same = replication.permanova(np.zeros((6, 6)), levels, replicates, 9, seed=0)
    assert (same.f, same.r2, same.test.p) == (None, None, 1.0)
    replicates_alike = replication.permanova(squared_distances(levels * 1.0), levels, replicates, 9, seed=0)
    assert (replicates_alike.f, replicates_alike.r2) == (None, 1.0)


def documents(rates: list[float], n: int, rng: np.random.Generator) -> np.ndarray:
    """Bits (V, n) of documents: variants share sizes and difficulties, and have noise of 3% of the bits."""
    size = rng.gamma(4.0, 100.0, size=n)
    shared = 1 + 0.2 * rng.normal(size=n)
    return np.asarray(np.array(rates)[:, None] * size * (shared + 0.03 * rng.normal(size=(len(rates), n))))


def test_equivalence_by_hand() -> None:
    bits = documents([2.0, 2.004, 2.01], 80, np.random.default_rng(0))
    found = replication.equivalence(bits, ["a", "b", "c"], margin=0.02)
    p = {
        (x, y): scipy.stats.ttest_1samp(bits[i] - 1.02 * bits[j], 0.0, alternative="less").pvalue
        for (i, x), (j, y) in itertools.permutations(enumerate("abc"), 2)
    }
    assert found.p == pytest.approx(max(p.values()))
    assert found.worst_pair == max(p, key=lambda pair: p[pair])
    a, b = ("abc".index(name) for name in found.worst_pair)
    assert found.worst_ratio == pytest.approx(bits[a].sum() / bits[b].sum())
    assert found.equivalent == (found.p < 0.05)
    json.loads(canonical_json(found))


def test_equivalence_is_almost_the_linearised_test_in_bits_per_byte() -> None:
    """Compared with two one-sided tests of d -+ m * bytes; m is the margin times the pair's pooled bits per byte."""
    rng = np.random.default_rng(1)
    sizes = rng.gamma(4.0, 100.0, size=300)
    bits = np.array([[2.0], [2.01]]) * sizes * (1 + 0.05 * rng.normal(size=(2, 300)))
    difference, slack = bits[0] - bits[1], 0.01 * bits.mean(0).sum() / sizes.sum() * sizes
    linear = max(
        scipy.stats.ttest_1samp(difference - slack, 0.0, alternative="less").pvalue,
        scipy.stats.ttest_1samp(difference + slack, 0.0, alternative="greater").pvalue,
    )
    assert 0.01 < linear < 0.6
    assert replication.equivalence(bits, ["a", "b"]).p == pytest.approx(linear, abs=0.02)


def test_equivalence_finds_planted_truths() -> None:
    rng = np.random.default_rng(2)
    same = replication.equivalence(documents([2.0] * 4, 1600, rng), list("abcd"))
    assert same.equivalent
    assert same.p < 1e-3
    one_off = replication.equivalence(documents([2.0, 2.0, 2.06, 2.0], 400, rng), list("abcd"))
    assert not one_off.equivalent
    assert one_off.worst_pair[0] == "c"
    assert one_off.worst_ratio == pytest.approx(1.03, abs=0.01)
    unsure = replication.equivalence(documents([2.0, 2.0], 8, rng), list("ab"))
    assert not unsure.equivalent  # equal, but too few documents to say so


@pytest.mark.parametrize("n_documents", [40, 200])
def test_equivalence_errs_at_the_margin_once_in_twenty(n_documents: int) -> None:
    rng = np.random.default_rng(3)
    claimed = sum(
        replication.equivalence(documents([2.0, 2.02], n_documents, rng), ["a", "b"]).equivalent for _ in range(1000)
    )
    assert claimed <= scipy.stats.binom.isf(1e-3, 1000, 0.05)
    if n_documents == 200:
        assert claimed >= scipy.stats.binom.ppf(1e-3, 1000, 0.05)  # and wastes no power there


def test_equivalence_of_identical_variants_and_of_too_few() -> None:
    constant = np.full((2, 5), 300.0)
    assert replication.equivalence(constant, ["a", "b"]).p == 0.0
    assert replication.equivalence(constant * [[1.0], [1.5]], ["a", "b"]).p == 1.0
    for bits, names in [(constant[:1], ["a"]), (constant[:, :1], ["a", "b"]), (constant, ["a"])]:
        with pytest.raises(ValueError, match="make no comparison"):
            replication.equivalence(bits, names)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_detectable_factor_is_found_as_often_as_promised(n: int) -> None:
    """Replicates with the detectable effect and the assumed spread, tested by scipy."""
    rng = np.random.default_rng(n)
    values = rng.normal(size=n)
    effect = replication.detectable_factor(values, power=0.8)
    spread = float(np.std(values, ddof=1))
    found = scipy.stats.ttest_1samp(rng.normal(effect, spread, size=(4000, n)), 0.0, axis=1).pvalue < 0.05
    assert abs(found.mean() - 0.8) < 4 * math.sqrt(0.16 / 4000)
    for power in (0.5, 0.95, 0.99):
        other = replication.detectable_factor(values, power)
        assert (other > effect) == (power > 0.8)
    assert replication.detectable_factor(10 * values) == pytest.approx(10 * effect)


def test_detectable_factor_of_the_textbook() -> None:
    """Ten pairs find an effect of 0.996 standard deviations with a power of 80% (two-sided, 5%)."""
    values = np.array([-3.0, 3.0] * 5) / math.sqrt(10)  # standard deviation 1
    assert np.std(values, ddof=1) == pytest.approx(1.0)
    assert replication.detectable_factor(values) == pytest.approx(0.996, abs=5e-4)


def test_detectable_factor_needs_spread() -> None:
    assert replication.detectable_factor(np.array([0.1, 0.2])) is None
    assert replication.detectable_factor(np.full(5, 0.1)) is None


@pytest.mark.parametrize(("n", "chance"), [(5, 0.25), (30, 0.5), (200, 1 / 3), (1000, 0.02)])
def test_detectable_instance_by_enumeration(n: int, chance: float) -> None:
    hits = np.arange(n + 1)
    p = np.array([scipy.stats.binomtest(int(h), n, chance, alternative="greater").pvalue for h in hits])

    def power(accuracy: float) -> float:
        return float(scipy.stats.binom.pmf(hits, n, accuracy)[p <= 0.05].sum())

    accuracy = replication.detectable_instance(n, chance)
    assert power(accuracy) == pytest.approx(0.8)
    assert power(accuracy - 1e-3) < 0.8


def test_detectable_instance_needs_texts() -> None:
    assert replication.detectable_instance(4, 0.5) is None  # four hits of four: p = 1/16
    assert replication.detectable_instance(5, 0.5) is not None
