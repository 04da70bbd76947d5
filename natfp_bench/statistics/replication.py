"""Statistics over replicates: claims about a factor, not only about the models at hand.

All texts of one model share its accidents, so many texts say much about these models and little about the factor. For a
claim about the factor, the unit is the replicate. Replicates are few, so intervals are Student's and tests permute the
labels of whole variants.

Shapes, for V variants: `levels` (V,) int, the level of each; `replicates` (V,) int, the block of each; every
replicate has every level exactly once. scipy is imported inside functions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from natfp_bench.base import streams
from natfp_bench.base.records import Record

from .intervals import FEWEST_UNITS, Floats, Ints

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


class Permanova(Record):
    """Do levels differ more than replicates of one level? f: pseudo-F; r2: share of the spread that is between levels.

    f is None if replicates do not differ at all; f and r2 are None if no variants differ by more than noise.
    """

    f: float | None
    r2: float | None
    test: PermutationTest


class Equivalence(Record):
    """Are all variants equally good models, within a relative margin of bits per byte?

    worst_pair: the pair of variants for which the first is closest to being worse by more than the margin; worst_ratio:
    bits of the first over bits of the second; p: for all pairs together; equivalent: p < 0.05, which rules out a
    difference as large as the margin for every pair.
    """

    margin: float
    worst_pair: tuple[str, str]
    worst_ratio: float
    p: float
    equivalent: bool


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


def equivalence(bits: Floats, names: Sequence[str], margin: float = 0.01) -> Equivalence:
    """Test that no variant is worse than another by more than a relative margin of bits per byte.

    bits: (V, documents) bits of each held-out document under each variant. On the same documents a ratio of bits per
    byte is a ratio of bits, and "a needs at most (1 + margin) times the bits of b" means that a_i - (1 + margin) b_i
    has a negative mean. This is a one-sided t test, paired over documents, without any linearisation. Both directions
    of a pair make Schuirmann's two one-sided tests (1987), in Sasabuchi's form for ratios (1980). p is the largest of
    all p-values; to claim all of them at once needs no correction (intersection-union, Berger 1982). Raises ValueError
    below two variants or two documents.
    """
    from scipy.special import stdtr

    bits = np.asarray(bits, dtype=np.float64)
    n_variants, n = bits.shape
    if n_variants < 2 or n < 2 or n_variants != len(names):
        raise ValueError(f"bits {bits.shape} of {len(names)} variants make no comparison")
    worst = (-1.0, 0.0, (names[0], names[1]))
    for a, b in itertools.permutations(range(n_variants), 2):
        excess = bits[a] - (1 + margin) * bits[b]
        mean, error = float(excess.mean()), float(excess.std(ddof=1)) / math.sqrt(n)
        p = float(stdtr(n - 1, mean / error)) if error > 0 else float(mean >= 0)
        worst = max(worst, (p, float(bits[a].sum() / bits[b].sum()), (names[a], names[b])))
    p, ratio, pair = worst
    return Equivalence(margin=margin, worst_pair=pair, worst_ratio=ratio, p=p, equivalent=p < SIGNIFICANT)


def detectable_factor(values: Floats, power: float = 0.8, level: float = 0.05) -> float | None:
    """Smallest mean effect that a two-sided t test over replicates would have detected with the given power.

    values (R,): the effect in each replicate, 0 for none; the result has the same unit. Their spread is assumed to be
    the true one, and the power is that of the noncentral t distribution (Cohen 1988); significant effects of the wrong
    sign do not count. None below three replicates or without spread.
    """
    from scipy.special import nctdtrinc, stdtrit

    n = len(values)
    if n < FEWEST_UNITS or np.ptp(values) == 0:
        return None
    critical = stdtrit(n - 1, 1 - level / 2)
    return float(nctdtrinc(n - 1, 1 - power, critical)) * float(np.std(values, ddof=1)) / math.sqrt(n)


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
