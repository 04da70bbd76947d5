"""Statistics over replicates: claims about a factor, not only about the models at hand.

All texts of one model share its accidents, so many texts say much about these models and little about the factor. For a
claim about the factor, the unit is the replicate. Replicates are few, so intervals are Student's, with the
correction for fits that share replicates (`intervals.fold_interval`), and tests permute the labels of whole variants.

Shapes, for V variants: `levels` (V,) int, the level of each; `replicates` (V,) int, the block of each; every
replicate has every level exactly once. scipy is imported inside functions.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from natfp_bench.base import streams
from natfp_bench.base.records import Record

from .intervals import FEWEST_UNITS, Floats, Ints
from .paired import holm

SIGNIFICANT = 0.05


class PermutationTest(Record):
    """The p-value of a permutation test; smallest: the smallest p-value that it can give.

    permutations: how many relabelings were tried besides the observed labelling; exhaustive: whether these were all;
    testable: whether any data could have been significant. If not, a large p is no evidence against the factor.
    """

    p: float
    smallest: float
    permutations: int
    exhaustive: bool
    testable: bool


Verdict = Literal["found", "not found", "not testable"]
"""`not testable`: with so few replicates, even the smallest possible p is above 0.05 after the correction."""


class Judged(Record):
    """A test among others. p: by Holm's method, None if no data could succeed; tests: how many it is corrected for."""

    p: float | None
    verdict: Verdict
    tests: int


class Permanova(Record):
    """Do levels differ more than replicates of one level? f: pseudo-F; r2: share of the spread that is between levels.

    f is None if replicates do not differ at all; f and r2 are None if no variants differ by more than noise.
    """

    f: float | None
    r2: float | None
    test: PermutationTest


Answer = Literal["equally good", "not equally good", "not shown"]


class Equivalence(Record):
    """Are the levels equally good models, within a relative margin of bits per byte?

    units: what the test generalises over. `replicates`: means of levels, against the spread of runs within a level;
    `documents`, if there are no replicates: these very models, on other documents. worst_pair: the two for which the
    first is closest to being worse by more than the margin; worst_ratio: bits of the first over bits of the second. p:
    of a difference as large as the margin in any pair; below 0.05, all are equally good. p_worse: of no difference
    beyond the margin, adjusted for the number of pairs; below 0.05, they are not equally good. Otherwise neither is
    shown.
    """

    margin: float
    units: Literal["replicates", "documents"]
    worst_pair: tuple[str, str]
    worst_ratio: float
    p: float
    p_worse: float
    answer: Answer


def relabelings(levels: Ints, replicates: Ints, limit: int, seed: int) -> tuple[Ints, int]:
    """Permutations of the level labels within replicates: (P, V) int, and the number of distinct labellings.

    If the factor does nothing, the labels within a replicate are exchangeable. To rename the levels everywhere changes
    no statistic, so the first replicate keeps its labels. This leaves (k!)^(R - 1) distinct labellings, including the
    observed one, which is not among the rows. The rows are all others if these are at most `limit`, otherwise `limit`
    distinct ones, drawn uniformly. Raises ValueError unless every replicate has every level exactly once.
    """
    levels, replicates = np.asarray(levels, dtype=np.int64), np.asarray(replicates)
    names, n_replicates = np.unique(levels), len(np.unique(replicates))
    k, moved = len(names), n_replicates - 1
    # Variants are sorted by replicate, then level: the identity is the observed labelling.
    order = np.lexsort((levels, replicates))
    blocks = np.column_stack([replicates, levels])[order]
    if not np.array_equal(blocks, np.array([*itertools.product(np.unique(replicates), names)]).reshape(-1, 2)):
        raise ValueError("every replicate must have every level exactly once")
    total = math.factorial(k) ** moved
    if total - 1 <= limit:
        drawn = np.array([*itertools.product(itertools.permutations(range(k)), repeat=moved)], dtype=np.int64)
        drawn = drawn.reshape(total, moved * k)[1:]
    else:
        drawn = _drawn_orders(limit, moved, k, seed)
    relabelled = np.tile(levels, (len(drawn), 1))
    relabelled[:, order[k:]] = names[drawn]
    return relabelled, total


def smallest_p(levels: int, replicates: int, limit: int) -> float:
    """Smallest p-value that the permutation test can have, with at most `limit` relabelings."""
    return 1.0 / min(int(math.factorial(levels) ** (replicates - 1)), 1 + limit)


def replicates_needed(levels: int, tests: int = 1) -> int:
    """Fewest replicates for which a factor can be significant after a correction for so many tests."""
    return next(r for r in itertools.count(2) if math.factorial(levels) ** (1 - r) * tests <= SIGNIFICANT)


def permutation_test(observed: float, permuted: Floats, total: int) -> PermutationTest:
    """Test whether a statistic is larger than with permuted level labels; it must be larger for stronger effects.

    observed: the statistic of the observed labelling; permuted (P,): those of `relabelings`; total: its second result.
    p = (1 + #{permuted >= observed}) / (1 + P) (Phipson and Smyth 2010). It is exact if the relabelings are exhaustive,
    and valid if they are a sample. A single replicate has no relabelings: p is 1.
    """
    # Statistics that are equal in theory differ by rounding; they count as reached.
    reached = int(np.count_nonzero(np.asarray(permuted) >= observed - 1e-12))
    n, smallest = len(permuted), 1 / (1 + len(permuted))
    p = (1 + reached) / (1 + n)
    testable = smallest <= SIGNIFICANT
    return PermutationTest(p=p, smallest=smallest, permutations=n, exhaustive=n == total - 1, testable=testable)


def permanova(divergence: Floats, levels: Ints, replicates: Ints, limit: int, seed: int) -> Permanova | None:
    """Permutational analysis of variance (Anderson 2001) of variants by level, from their divergences.

    divergence (V, V): mean KL in bits of rows from columns, zero diagonal. KL behaves like a squared distance, so (D +
    D') / 2 is used as one: total and within-level sums of squares are its means over pairs, and F = (between / (k - 1))
    / (within / (V - k)). Labels are permuted within replicates, at most `limit` times. The total and the replicate sums
    stay the same, so the p-value is also that of the F without the replicates' share. None if a divergence is infinite
    or NaN, or for a single replicate or level. Raises ValueError as `relabelings`.
    """
    divergence, levels = np.asarray(divergence, dtype=np.float64), np.asarray(levels, dtype=np.int64)
    n, k, n_replicates = len(levels), len(np.unique(levels)), len(np.unique(replicates))
    relabelled, labellings = relabelings(levels, replicates, limit, seed)
    if k < 2 or n_replicates < 2 or not np.isfinite(divergence).all():
        return None
    squared = (divergence + divergence.T) / 2
    total = float(squared.sum()) / (2 * n)

    def between(labels: Ints) -> float:
        within = float(squared[labels[:, None] == labels].sum()) / (2 * n_replicates)
        return (total - within) / total if total > 0 else 0.0

    r2 = between(levels)
    test = permutation_test(r2, np.array([between(labels) for labels in relabelled]), labellings)
    f = (r2 / (k - 1)) / ((1 - r2) / (n - k)) if r2 < 1 else None
    return Permanova(f=f if total > 0 else None, r2=r2 if total > 0 else None, test=test)


def equivalence(bits: Floats, levels: Sequence[str], replicates: Ints, margin: float = 0.01) -> Equivalence | None:
    """Test whether no level is worse than another by more than a relative margin of bits per byte.

    bits: (V, documents) bits of each held-out document under each variant; levels, replicates: of each variant. On the
    same documents a ratio of bits per byte is a ratio of bits.

    With three replicates or more, the unit is the replicate: the difference of the logs of the two levels' total bits,
    with R - 1 degrees of freedom. (Runs of one level may vary ten times as much as those of another, so pairs share no
    error.) With one replicate, it is the document: a's excess over (1 + margin) times b's bits. Each direction of a
    pair has two one-sided t tests: of a being worse by less than the margin, and by more. All of the first together
    make Schuirmann's test (1987) without a correction (intersection-union, Berger 1982); the smallest of the second is
    adjusted for their number (Bonferroni). None with two replicates. Raises ValueError below
    two levels or two documents.
    """
    from scipy.special import stdtr

    bits, replicates = np.asarray(bits, dtype=np.float64), np.asarray(replicates)
    names, n_replicates = list(dict.fromkeys(levels)), len(np.unique(replicates))
    if len(names) < 2 or bits.shape[1] < 2 or len(bits) != len(levels):
        raise ValueError(f"bits {bits.shape} of {len(names)} levels make no comparison")
    if 1 < n_replicates < FEWEST_UNITS:
        return None
    excess, error, df = _excess(bits, np.array([names.index(level) for level in levels]), replicates, margin)
    worst, p_worse = (-1.0, 0, 1), 1.0
    for a, b in itertools.permutations(range(len(names)), 2):
        if error[a, b] > 0:
            t = excess[a, b] / error[a, b]
            within, beyond = float(stdtr(df, t)), float(stdtr(df, -t))
        else:
            within, beyond = float(excess[a, b] >= 0), float(excess[a, b] <= 0)
        worst, p_worse = max(worst, (within, a, b)), min(p_worse, beyond)
    p, a, b = worst
    p_worse = min(1.0, p_worse * len(names) * (len(names) - 1))
    total = [float(np.log(bits[[level == name for level in levels]].sum(axis=1)).mean()) for name in names]
    answer: Answer = "equally good" if p < SIGNIFICANT else "not equally good" if p_worse < SIGNIFICANT else "not shown"
    return Equivalence(
        margin=margin,
        units="documents" if n_replicates == 1 else "replicates",
        worst_pair=(names[a], names[b]),
        worst_ratio=math.exp(total[a] - total[b]),
        p=p,
        p_worse=p_worse,
        answer=answer,
    )


def _excess(bits: Floats, level: Ints, replicates: Ints, margin: float) -> tuple[Floats, Floats, int]:
    """Excess of each level over each other beyond the margin, its standard error, and the degrees of freedom."""
    k, blocks = int(level.max()) + 1, np.unique(replicates)
    if len(blocks) == 1:
        ordered = bits[np.argsort(level)]
        each = ordered[:, None] - (1 + margin) * ordered[None]
    else:
        table = np.empty((k, len(blocks)))
        table[level, np.searchsorted(blocks, replicates)] = np.log(bits.sum(axis=1))
        each = table[:, None] - table[None] - math.log1p(margin)
    n = each.shape[2]
    return each.mean(axis=2), each.std(axis=2, ddof=1) / math.sqrt(n), n - 1


def judged(p: Sequence[float], floors: Sequence[float]) -> list[Judged]:
    """Correct the p-values of a family of permutation tests by Holm's method, and say what follows for each.

    floors: the smallest p that each test can have. A test whose floor is above 0.05 cannot succeed whatever its data
    are, so it is no part of the family and costs the others nothing (Tarone 1990).
    """
    family = [place for place, floor in enumerate(floors) if floor <= SIGNIFICANT]
    own = [p[place] for place in family]
    found = [Judged(p=None, verdict="not testable", tests=len(family))] * len(p)
    for rank, (place, adjusted) in enumerate(zip(family, holm(own), strict=True)):
        verdict: Verdict = "found" if adjusted <= SIGNIFICANT else "not found"
        # What it would be with the smallest possible p.
        if holm([*own[:rank], floors[place], *own[rank + 1 :]])[rank] > SIGNIFICANT:
            verdict = "not testable"
        found[place] = Judged(p=adjusted, verdict=verdict, tests=len(family))
    return found


def detectable_factor(
    spread: float, levels: int, replicates: int, permutations: int, comparisons: int = 1, power: float = 0.8
) -> float | None:
    """Smallest mean effect that the permutation test detects with the given power.

    spread: standard deviation of the statistic if labels mean nothing (`Permuted.spread`); the result has its unit.
    permutations: how many relabelings the test has. comparisons: how many tests the level of 0.05 is divided by. The
    statistic of a labelling counts as normal, with the effect times the share of its pairs of variants that truly have
    one level, on the scale where no agreement is 0: relabelings that are nearly right also profit from an effect. The
    test is passed if few enough of them reach the observed statistic. None if no data could pass it.
    """
    ahead = math.floor(SIGNIFICANT / comparisons * (1 + permutations) + 1e-9) - 1
    if ahead < 0:
        return None
    agreement = _agreement(levels, replicates, permutations)
    normal = statistics.NormalDist()

    def critical(effect: float) -> float:
        """Height that all but `ahead` relabelings stay below, in the middle of the possible cases."""
        return _root(lambda c: ahead + 0.5 - sum(n * normal.cdf(effect * share - c) for share, n in agreement))

    return spread * _root(lambda effect: normal.cdf(effect - critical(effect)) - power)


@functools.cache
def _agreement(levels: int, replicates: int, permutations: int) -> list[tuple[float, int]]:
    """Shares of pairs of one label that truly have one level, 0 for chance, and the number of relabelings with each.

    The two variants of a pair are of different replicates.
    """
    true, block = np.tile(np.arange(levels), replicates), np.repeat(np.arange(replicates), levels)
    relabelled, _ = relabelings(true, block, permutations, 0)
    pairs = (block[:, None] != block) & (relabelled[:, :, None] == relabelled[:, None])
    same = (pairs & (true[:, None] == true)).sum(axis=(1, 2)) / pairs.sum(axis=(1, 2))
    share, count = np.unique(np.round((same - 1 / levels) / (1 - 1 / levels), 9), return_counts=True)
    return [*zip(share.tolist(), count.tolist(), strict=True)]


def _root(rising: Callable[[float], float], low: float = -10.0, high: float = 50.0) -> float:
    """Where an increasing function is zero, by bisection."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


def detectable_instance(n: int, chance: float, power: float = 0.8, level: float = 0.05) -> float | None:
    """Smallest accuracy that the exact one-sided binomial test detects with the given power, for n independent texts.

    The test needs c hits, the smallest number with P(X >= c) <= level under chance. As a function of the accuracy, P(X
    >= c) is a beta distribution function (Clopper and Pearson 1934), which is inverted here. None if n texts are too
    few for significance even if all are hits.
    """
    from scipy.special import betaincinv
    from scipy.stats import binom

    least = int(binom.isf(level, n, chance)) + 1
    return float(betaincinv(least, n - least + 1, power)) if least <= n else None


def _drawn_orders(limit: int, moved: int, k: int, seed: int) -> Ints:
    """Distinct, non-identical orders of k labels in each of `moved` replicates: (limit, moved * k) int64."""
    identity = np.tile(np.arange(k), moved)
    orders = {identity.tobytes(): identity}
    for row in itertools.count():
        if len(orders) > limit:
            break
        words = streams.raw(moved * k, "relabelling", seed, row=row).reshape(moved, k)
        order = np.argsort(words, axis=1, kind="stable").ravel()
        orders.setdefault(order.tobytes(), order)
    return np.array([*orders.values()][1:], dtype=np.int64).reshape(limit, moved * k)
