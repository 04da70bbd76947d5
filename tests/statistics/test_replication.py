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


def test_an_interval_over_folds_has_the_variance_of_nadeau_and_bengio() -> None:
    values = np.array([0.4, 0.5, 0.45, 0.6])
    found = intervals.fold_interval(values)
    half = scipy.stats.t.ppf(0.975, 3) * math.sqrt((1 / 4 + 1 / 3) * values.var(ddof=1))
    assert (found.value, found.low, found.high) == pytest.approx((0.4875, 0.4875 - half, 0.4875 + half))
    assert (found.method, found.units, found.n_units) == ("cross-fitted t", "replicates", 4)
    assert intervals.fold_interval([0.1, 0.1, 0.1]).low == 0.1
    assert intervals.fold_interval([0.1, 0.3]).low is None


def test_an_interval_over_folds_covers_where_folds_share_what_they_learn_from() -> None:
    """Equally correlated folds, as the correction assumes: 1 / R of each fold's variance is common to all."""
    rng = np.random.default_rng(0)
    for n in (3, 10):
        own, common = rng.normal(size=(2000, n)), rng.normal(size=(2000, 1))
        values = math.sqrt(1 - 1 / n) * own + math.sqrt(1 / n) * common
        covered = [
            np.mean([one.low <= 0 <= one.high for one in map(interval, values)])
            for interval in (intervals.fold_interval, intervals.t_interval)
        ]
        assert abs(covered[0] - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)
        assert covered[1] < 0.9


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


ALONE = np.zeros(4, dtype=np.int64)
"""Four variants of one replicate."""


def of_documents(bits: np.ndarray, margin: float = 0.01) -> replication.Equivalence:
    """Variants a, b, ... without replicates."""
    n = len(bits)
    return replication.equivalence(bits, list("abcd"[:n]), ALONE[:n], margin)


def test_equivalence_of_single_models_by_hand() -> None:
    bits = documents([2.0, 2.004, 2.01], 80, np.random.default_rng(0))
    found = of_documents(bits, 0.02)
    pairs = [*itertools.permutations(enumerate("abc"), 2)]
    less, more = (
        {
            (x, y): scipy.stats.ttest_1samp(bits[i] - 1.02 * bits[j], 0.0, alternative=side).pvalue
            for (i, x), (j, y) in pairs
        }
        for side in ("less", "greater")
    )
    assert found.units == "documents"
    assert found.p == pytest.approx(max(less.values()))
    assert found.p_worse == pytest.approx(min(1.0, 6 * min(more.values())))
    assert found.worst_pair == max(less, key=lambda pair: less[pair])
    a, b = ("abc".index(name) for name in found.worst_pair)
    assert found.worst_ratio == pytest.approx(bits[a].sum() / bits[b].sum())
    json.loads(canonical_json(found))


def test_equivalence_of_single_models_finds_planted_truths() -> None:
    rng = np.random.default_rng(2)
    same = of_documents(documents([2.0] * 4, 1600, rng))
    assert (same.answer, same.p < 1e-3) == ("equally good", True)
    one_off = of_documents(documents([2.0, 2.0, 2.06, 2.0], 400, rng))
    assert (one_off.answer, one_off.worst_pair[0]) == ("not equally good", "c")
    assert one_off.worst_ratio == pytest.approx(1.03, abs=0.01)
    assert of_documents(documents([2.0, 2.0], 8, rng)).answer == "not shown"  # equal, but on too few documents


def runs(levels: list[float], n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Bits (V, 2) of runs: those of the level, a share of the replicate, and an accident of 0.3%."""
    level, replicate = design(len(levels), n_replicates)
    shared = rng.normal(0, 0.02, size=n_replicates)[replicate]
    total = np.array(levels)[level] * np.exp(shared + rng.normal(0, 0.003, size=len(level)))
    return np.column_stack([total / 4, total * 3 / 4])


def of_runs(bits: np.ndarray, n_levels: int) -> replication.Equivalence | None:
    n_replicates = len(bits) // n_levels
    return replication.equivalence(bits, list("abc"[:n_levels]) * n_replicates, design(n_levels, n_replicates)[1])


def test_equivalence_of_levels_by_hand() -> None:
    """Two levels: the paired t test of the logs, whose error has R - 1 degrees of freedom."""
    bits = runs([2.0, 2.01], 6, np.random.default_rng(1))
    logs = np.log(bits.sum(axis=1)).reshape(6, 2)
    difference, margin = logs[:, 1] - logs[:, 0], math.log(1.01)
    found = of_runs(bits, 2)
    less = [scipy.stats.ttest_1samp(sign * difference - margin, 0.0, alternative="less").pvalue for sign in (1.0, -1.0)]
    assert found.units == "replicates"
    assert found.p == pytest.approx(max(less))
    assert found.worst_pair == ("b", "a")
    assert found.worst_ratio == pytest.approx(math.exp(difference.mean()))


def test_equivalence_of_levels_finds_planted_truths() -> None:
    rng = np.random.default_rng(3)
    assert of_runs(runs([2.0, 2.0, 2.0], 5, rng), 3).answer == "equally good"
    assert of_runs(runs([2.0, 2.0, 2.1], 5, rng), 3).answer == "not equally good"
    assert of_runs(runs([2.0, 2.02, 2.0], 3, rng), 3).answer == "not shown"
    assert of_runs(runs([2.0, 2.0], 2, rng), 2) is None  # two runs show no spread


@pytest.mark.parametrize(("ratio", "wrong"), [(1.01, "equally good"), (1.01, "not equally good")])
def test_equivalence_of_levels_errs_at_the_margin_once_in_twenty(ratio: float, wrong: str) -> None:
    rng = np.random.default_rng(4)
    claimed = sum(of_runs(runs([2.0 * ratio, 2.0], 5, rng), 2).answer == wrong for _ in range(1000))
    assert claimed <= scipy.stats.binom.isf(1e-3, 1000, 0.05)
    assert claimed >= scipy.stats.binom.ppf(1e-3, 1000, 0.05) / 2  # Bonferroni halves one of the two


def test_equivalence_of_identical_variants_and_of_too_few() -> None:
    constant = np.full((2, 5), 300.0)
    assert of_documents(constant).answer == "equally good"
    assert of_documents(constant * [[1.0], [1.5]]).answer == "not equally good"
    for bits, names in [(constant[:1], ["a"]), (constant[:, :1], ["a", "b"]), (constant, ["a"])]:
        with pytest.raises(ValueError, match="make no comparison"):
            replication.equivalence(bits, names, ALONE[: len(names)])


@pytest.mark.parametrize(("k", "n_replicates", "comparisons"), [(3, 3, 1), (3, 5, 1), (3, 5, 8), (2, 6, 1)])
def test_a_detectable_factor_is_found_as_often_as_promised(k: int, n_replicates: int, comparisons: int) -> None:
    """Experiments of normal scores, in which the statistic of a labelling is the agreement of its pairs.

    A pair's score is 1 if both variants truly have one level, and 0 if not, plus noise; the statistic is the mean
    over all pairs of one label in different replicates. So the right labelling gains most, and others in proportion.
    """
    rng, (levels, replicates) = np.random.default_rng(0), design(k, n_replicates)
    relabelled, total = replication.relabelings(levels, replicates, 1999, 0)
    labellings = np.vstack([levels, relabelled])
    pairs = np.array([*itertools.combinations(range(len(levels)), 2)])
    pairs = pairs[replicates[pairs[:, 0]] != replicates[pairs[:, 1]]]
    shown = (labellings[:, pairs[:, 0]] == labellings[:, pairs[:, 1]]).astype(float)
    true = (levels[pairs[:, 0]] == levels[pairs[:, 1]]).astype(float)
    noise = shown / shown.sum(axis=1, keepdims=True) @ rng.normal(size=(len(pairs), 400))
    noise -= noise.mean(axis=0)
    effect = replication.detectable_factor(float(noise.std()), k, n_replicates, total - 1, comparisons)
    gained = (shown @ true / shown.sum(axis=1) - 1 / k) / (1 - 1 / k)
    scores = noise + effect * gained[:, None]
    p = (scores >= scores[0] - 1e-12).mean(axis=0)
    # Relabelings that are nearly right rise and fall with the right one, which makes the promise rather too modest.
    assert 0.72 < (p <= 0.05 / comparisons).mean() < 0.96


def test_what_cannot_be_found_has_no_detectable_effect() -> None:
    assert replication.detectable_factor(0.02, 3, 3, 35, 2) is None
    assert replication.detectable_factor(0.02, 3, 2, 5) is None
    one, two = (replication.detectable_factor(spread, 3, 5, 1295) for spread in (0.02, 0.04))
    assert two == pytest.approx(2 * one)


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


def test_a_test_that_cannot_succeed_costs_the_others_nothing() -> None:
    found = replication.judged([0.01, 0.02, 0.5, 0.04], [0.001, 0.02, 0.2, 0.04])
    assert [one.verdict for one in found] == ["found", "found", "not testable", "found"]
    assert [one.p for one in found] == [pytest.approx(0.03), pytest.approx(0.04), None, pytest.approx(0.04)]
    assert {one.tests for one in found} == {3}
    (few,) = replication.judged([0.04], [0.04])
    assert few.verdict == "found"
    pair = replication.judged([0.04, 0.3], [0.04, 0.04])
    assert [one.verdict for one in pair] == ["not testable", "not testable"], "twice 0.04 is above 0.05"
    assert replication.judged([0.2], [0.01])[0].verdict == "not found"
    assert replication.judged([], []) == []
