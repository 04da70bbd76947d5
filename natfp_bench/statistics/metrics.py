"""Scores of an attributor, with honest intervals and tests.

Everything here is a plain function of n texts' probabilities over k classes, their true classes and the
prompts that they continue. Classes are balanced by construction, so chance is 1/k throughout. Texts of one
prompt share its topic and difficulty and are no independent evidence: the prompt is the unit of every
resampling.

Shapes: `proba` (n, k) float, rows sum to one; `truth` (n,) int, class indices; `prompts` (n,) int, cluster
ids. scipy is imported inside functions, for it is slow to import and light commands load this module.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.records import Record

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Alternative = Literal["greater", "two-sided"]

RESAMPLES = 2_000
FLIPS = 10_000
BLOCK = 100
"""Resamples or flips drawn at once, one stream row a block: bounds memory; part of what a seed means."""

FEW = 10
"""Below this many hits or misses the percentile bootstrap of an accuracy under-covers; Wilson takes over."""

UNIFORM_SHARE = 0.001
"""Weight of the uniform distribution in log scores: one overconfident zero must not cost infinity."""


class Interval(Record):
    """An estimate and its 95% interval; low and high are None where a single unit says nothing of spread."""

    value: float
    low: float | None
    high: float | None
    method: str
    units: str
    n_units: int


def credits(proba: Floats, truth: Ints) -> Floats:
    """Credit of each text, (n,) float64: 1/m if its true class is among the m tied maxima of its row, else 0.

    Ties are exact. Sharing makes a constant answer score exactly chance, whatever the order of the classes.
    """
    shares = _guess_shares(proba)
    return np.take_along_axis(shares, np.asarray(truth)[:, None], axis=1)[:, 0]


def confusion(proba: Floats, truth: Ints) -> Floats:
    """Confusion matrix (k, k) float64: rows are true classes, columns guesses, ties shared equally."""
    shares = _guess_shares(proba)
    matrix = np.zeros((shares.shape[1], shares.shape[1]))
    np.add.at(matrix, truth, shares)
    return matrix


def identifiability(accuracy: float, chance: float) -> float:
    """Chance-normalised accuracy: 0 at chance, 1 for perfect attribution, negative below chance."""
    return (accuracy - chance) / (1.0 - chance)


def macro_f1(confusion: Floats) -> Floats:
    """Unweighted mean over classes of F1: (..., k, k) confusion matrices to (...) float64.

    A class that is neither present nor guessed counts as 0 (scikit-learn's `zero_division=0`, all labels
    given).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _mean_f1(hits, guessed=confusion.sum(-2), present=confusion.sum(-1))


def mixed(proba: Floats) -> Floats:
    """Mix with the uniform distribution, (n, k): 0.999 p + 0.001 / k. A uniform row stays so bit for bit."""
    chance = 1.0 / np.shape(proba)[1]
    # In units of 1/k, and by division: fl(1/49) * 49 is not 1, but fl(1/49) / fl(1/49) is, for every k.
    relative = np.asarray(proba, dtype=np.float64) / chance
    return np.asarray(((1.0 - UNIFORM_SHARE) * relative + UNIFORM_SHARE) * chance)


def bits(proba: Floats, truth: Ints) -> Floats:
    """Information gain of each text over chance, (n,): log2(k * mixed probability of its class).

    Its mean is a lower bound of the mutual information of text and class; exactly 0 where the row is uniform,
    at most log2 k, and negative where the attributor is confidently wrong.
    """
    return np.asarray(np.log2(_of_truth(mixed(proba), truth) / (1.0 / np.shape(proba)[1])))


def log_loss(proba: Floats, truth: Ints) -> Floats:
    """Negative log of the mixed probability of each text's class, (n,) in nats."""
    return np.asarray(-np.log(_of_truth(mixed(proba), truth)))


def binomial_log10_p(hits: float, n: int, chance: float) -> float:
    """Exact one-sided p-value of at least `hits` among n texts under chance, as log10: P(X >= floor(hits)).

    The logarithm stays finite where the p-value itself is far below the smallest double. Shared credits are
    rounded down, which only makes the p-value larger.
    """
    from scipy.special import logsumexp
    from scipy.stats import binom

    least = math.floor(hits)
    if least <= 0:
        return 0.0
    return min(0.0, float(logsumexp(binom.logpmf(np.arange(least, n + 1), n, chance))) / math.log(10.0))


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion, as (low, high); `hits` may be fractional.

    Raises ValueError unless 0 <= hits <= n and n is positive.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"no proportion: {hits} hits of {n}")
    z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The ends are exact by algebra; rounding must not move them inwards.
    low = 0.0 if hits == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if hits == n else min(1.0, (centre + half) / scale)
    return low, high


def score(proba: Floats, truth: Ints, prompts: Ints, seed: int) -> dict[str, Interval]:
    """Accuracy, identifiability, bits, macro F1 and log loss of one attributor, each with its 95% interval.

    The intervals are expanded percentile bootstraps over prompts (Efron 1979; Field and Welsh 2007 for clusters;
    Hesterberg 2015). For accuracy, identifiability and macro F1 (nearly an accuracy there) Wilson's takes over where
    fewer than 10 prompts hold a hit or fewer than 10 hold a miss. Its n is then the number of prompts, not of texts:
    the mean credit of a prompt has variance at most p(1-p) however its texts depend on each other, so the interval
    errs on the wide side (`units` says `texts` where the two agree). Raises ValueError on no texts, one class, or
    shapes that disagree.
    """
    proba, truth, prompts = np.asarray(proba, dtype=np.float64), np.asarray(truth), np.asarray(prompts)
    if proba.ndim != 2 or proba.shape[1] < 2 or not len(proba) or not len(proba) == len(truth) == len(prompts):
        raise ValueError(
            f"shapes that make no score: proba {proba.shape}, truth {truth.shape}, prompts {prompts.shape}"
        )
    n, k = proba.shape
    credit, gain, loss = credits(proba, truth), bits(proba, truth), log_loss(proba, truth)
    shares = _guess_shares(proba)
    present = np.eye(k)[truth]
    per_text = np.vstack([np.ones(n), credit, gain, loss, (shares * present).T, shares.T, present.T])
    sums, n_units = _resampled_sums(per_text, prompts, seed)
    means = sums[1:4] / sums[0]
    f1 = _mean_f1(*(sums[4 + i * k : 4 + (i + 1) * k].T for i in range(3)))

    def bootstrapped(value: float, resampled: Floats) -> Interval:
        return _percentile(value, resampled, "prompts", n_units)

    accuracy = bootstrapped(_mean(credit), means[0])
    macro = bootstrapped(float(macro_f1(confusion(proba, truth))), f1)
    right, wrong = (len(np.unique(prompts[some])) for some in (credit > 0, credit < 1))
    if min(right, wrong) < FEW and (np.ptp(credit) > 0 or credit[0] in (0.0, 1.0)):
        units = "texts" if n_units == n else "prompts"
        accuracy, macro = (_wilson_interval(found.value, units, n_units) for found in (accuracy, macro))
    return {
        "accuracy": accuracy,
        "identifiability": _normalised(accuracy, 1.0 / k),
        "bits": bootstrapped(_mean(gain), means[1]),
        "macro_f1": macro,
        "log_loss": bootstrapped(_mean(loss), means[2]),
    }


def mean_interval(values: Floats, prompts: Ints, seed: int) -> Interval:
    """Mean over texts of any per-text value (n,), with a percentile bootstrap over prompts."""
    per_text = np.vstack([np.ones(len(values)), values])
    sums, n_units = _resampled_sums(per_text, prompts, seed)
    return _percentile(_mean(values), sums[1] / sums[0], "prompts", n_units)


def mean_intervals(values: Sequence[tuple[Floats, Ints]], seed: int) -> list[Interval]:
    """Mean of each of several per-text values (n,), given with their prompts (n,), as `mean_interval` has it.

    The draws depend on the number of prompts alone, and take longest: all values with as many prompts share them.
    """
    made: list[Interval | None] = [None] * len(values)
    groups: dict[int, list[tuple[int, Floats]]] = {}
    for place, (value, prompts) in enumerate(values):
        by_prompt = prompt_sums(np.column_stack([np.ones_like(value), value]), prompts)
        if value.any():
            groups.setdefault(len(by_prompt), []).append((place, by_prompt))
        else:
            made[place] = _percentile(0.0, np.zeros(1), "prompts", len(by_prompt))
    for n_prompts, group in groups.items():
        columns = np.hstack([by_prompt for _, by_prompt in group])
        resampled, _ = _resampled_sums(columns.T, np.arange(n_prompts), seed)
        means, counts = resampled[1::2] / resampled[::2], columns.sum(axis=0)
        for (place, _), mean, total, count in zip(group, means, counts[1::2], counts[::2], strict=True):
            made[place] = _percentile(float(total / count), mean, "prompts", n_prompts)
    return [one for one in made if one is not None]


def ratio_interval(numerators: Floats, denominators: Floats, seed: int, units: str) -> Interval:
    """Ratio of sums, such as bits over bytes of documents, with a percentile bootstrap over the units (n,).

    Raises ValueError on no units or a denominator that is not positive.
    """
    per_unit = np.vstack([denominators, numerators]).astype(np.float64)
    if not per_unit.size or per_unit[0].min() <= 0:
        raise ValueError("a ratio needs units, each with a positive denominator")
    sums, n_units = _resampled_sums(per_unit, np.arange(per_unit.shape[1]), seed)
    value = math.fsum(per_unit[1]) / math.fsum(per_unit[0])
    return _percentile(value, sums[1] / sums[0], units, n_units)


def paired_p(
    credit_a: Floats, credit_b: Floats, prompts: Ints, seed: int, alternative: Alternative = "greater"
) -> float:
    """p-value of "a is better than b" (or "differs from b") on the same texts.

    McNemar's exact test (1947) where each text has a prompt of its own and credits are 0 or 1; else a test
    that flips the sign of whole prompts' differences, 10,000 times, the observed signs counted in (Phipson
    and Smyth 2010).
    """
    if _is_binary(prompts, credit_a, credit_b):
        return _mcnemar(credit_a, credit_b, alternative)
    difference = prompt_sums(np.asarray(credit_a, dtype=np.float64)[:, None] - np.asarray(credit_b)[:, None], prompts)
    return _flip_p(float(difference.sum()), _flipped_sums(difference, seed, FLIPS)[:, 0], alternative)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down procedure (1979), in the order given."""
    adjusted, largest = [1.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = largest
    return adjusted


def ranks(
    credits: Mapping[str, Floats],
    prompts: Ints,
    seed: int,
    level: float = 0.05,
) -> dict[str, int]:
    """Rank of each attributor: 1 + how many are significantly better on the same texts.

    Paired one-sided tests over all ordered pairs, adjusted by Holm; attributors that cannot be told apart
    share a rank.
    """
    pairs = list(itertools.permutations(credits, 2))
    # F flips give no p-value below 1 / (F + 1): with many pairs 10,000 could never pass Holm, so F grows.
    flips = max(FLIPS, math.ceil(10 * len(pairs) / level))
    flipped: dict[str, Floats] = {}
    if any(not _is_binary(prompts, credits[a], credits[b]) for a, b in pairs):
        # Flipped sums are linear: a difference's are the difference of theirs. One product serves all pairs.
        by_prompt = prompt_sums(np.column_stack(list(credits.values())), prompts)
        flipped = dict(zip(credits, _flipped_sums(by_prompt, seed, flips).T, strict=True))

    def p(a: str, b: str) -> float:
        if _is_binary(prompts, credits[a], credits[b]):
            return _mcnemar(credits[a], credits[b], "greater")
        return _flip_p(float(np.sum(credits[a]) - np.sum(credits[b])), flipped[a] - flipped[b], "greater")

    adjusted = zip(pairs, holm([p(a, b) for a, b in pairs]), strict=True)
    beaten = [worse for (_, worse), value in adjusted if value <= level]
    return {name: 1 + beaten.count(name) for name in credits}


def _guess_shares(proba: Floats) -> Floats:
    """Each row's guess as shares (n, k): 1/m on its m exactly tied maxima, 0 elsewhere."""
    ties = np.asarray(proba) == np.max(proba, axis=1, keepdims=True)
    return np.asarray(ties / ties.sum(axis=1, keepdims=True), dtype=np.float64)


def _of_truth(values: Floats, truth: Ints) -> Floats:
    return np.take_along_axis(values, np.asarray(truth)[:, None], axis=1)[:, 0]


def _mean(values: Floats) -> float:
    # Summed exactly and rounded once: n credits of 1/k must average to 1/k.
    return math.fsum(values) / len(values)


def _mean_f1(hits: Floats, guessed: Floats, present: Floats) -> Floats:
    size = guessed + present
    return np.asarray(np.divide(2 * hits, size, out=np.zeros_like(size), where=size > 0).mean(-1))


def _wilson_interval(share: float, units: str, n_units: int) -> Interval:
    low, high = wilson(min(share, 1.0) * n_units, n_units)
    return Interval(value=share, low=low, high=high, method="wilson", units=units, n_units=n_units)


def _normalised(accuracy: Interval, chance: float) -> Interval:
    """Carry an interval of accuracy over to identifiability: an increasing linear map keeps its coverage."""
    ends = {
        end: None if at is None else identifiability(at, chance)
        for end, at in (("low", accuracy.low), ("high", accuracy.high))
    }
    return accuracy.model_copy(update={"value": identifiability(accuracy.value, chance), **ends})


def _percentile(value: float, resampled: Floats, units: str, n_units: int) -> Interval:
    low: float | None
    high: float | None
    if n_units < 2:
        low = high = None
    elif np.ptp(resampled) <= 1e-12 * max(1.0, abs(value)):
        low = high = value  # a spread of rounding errors is no spread
    else:
        low, high = (float(q) for q in np.quantile(resampled, _expanded(n_units)))
    return Interval(value=value, low=low, high=high, method="bootstrap", units=units, n_units=n_units)


def _expanded(n_units: int) -> tuple[float, float]:
    """Quantiles at which a percentile bootstrap is as wide as Student's interval, for a mean (Hesterberg 2015).

    A resample of n units has the spread of n, not of n - 1, and normal tails: with few units it is too narrow.
    """
    from scipy.special import ndtr, stdtrit

    tail = float(ndtr(math.sqrt(n_units / (n_units - 1)) * stdtrit(n_units - 1, 0.025)))
    return tail, 1.0 - tail


def _resampled_sums(per_text: Floats, units: Ints, seed: int) -> tuple[Floats, int]:
    """Sums over resampled units of s statistics (s, n): (s, RESAMPLES), and the number of units.

    A resample is a vector of weights over units, so all of them are products with one matrix of unit sums.
    The product is scipy's sparse one: most statistics are class indicators, and unlike BLAS it adds in one
    order whatever the number of threads, so that results repeat byte for byte.
    """
    from scipy.sparse import csr_array

    names, unit = np.unique(units, return_inverse=True)
    n, n_units = len(unit), len(names)
    membership = csr_array((np.ones(n), (np.arange(n), unit)), shape=(n, n_units))
    by_unit: Any = csr_array(per_text) @ membership
    sums = np.empty((len(per_text), RESAMPLES))
    resample = np.repeat(np.arange(BLOCK), n_units)
    for block in range(RESAMPLES // BLOCK):
        words = streams.raw(BLOCK * n_units, "bootstrap", seed, row=block) >> np.uint64(32)
        drawn = ((words * np.uint64(n_units)) >> np.uint64(32)).astype(np.int64)
        weights = np.bincount(drawn * BLOCK + resample, minlength=n_units * BLOCK).reshape(n_units, BLOCK)
        sums[:, block * BLOCK : (block + 1) * BLOCK] = by_unit @ weights.astype(np.float64)
    return sums, n_units


def prompt_sums(values: Floats, prompts: Ints) -> Floats:
    """Sum the rows of values (n, m) by prompt: (prompts, m)."""
    names, unit = np.unique(prompts, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, unit, values)
    return sums


def _flipped_sums(by_prompt: Floats, seed: int, flips: int) -> Floats:
    """Sums over prompts (C, m) under random signs, one bit each: (flips, m), rounded up to whole blocks."""
    width = -(-len(by_prompt) // 64)
    blocks = []
    for block in range(-(-flips // BLOCK)):
        words = streams.raw(BLOCK * width, "sign flip", seed, row=block).astype("<u8")
        signs = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(BLOCK, -1)[:, : len(by_prompt)]
        blocks.append((2.0 * signs - 1.0) @ by_prompt)
    return np.concatenate(blocks)


def _flip_p(observed: float, flipped: Floats, alternative: Alternative) -> float:
    if alternative == "two-sided":
        observed, flipped = abs(observed), np.abs(flipped)
    # Sums of shared credits that are equal on paper differ by rounding; they count as reached.
    return (1 + int(np.count_nonzero(flipped >= observed - 1e-9))) / (1 + len(flipped))


def _is_binary(prompts: Ints, *credit: Floats) -> bool:
    return len(np.unique(prompts)) == len(prompts) and all(bool(np.isin(c, (0.0, 1.0)).all()) for c in credit)


def _mcnemar(credit_a: Floats, credit_b: Floats, alternative: Alternative) -> float:
    from scipy.stats import binom

    better, worse = (int(np.count_nonzero(x > y)) for x, y in ((credit_a, credit_b), (credit_b, credit_a)))
    hits = better if alternative == "greater" else max(better, worse)
    tail = float(binom.sf(hits - 1, better + worse, 0.5))
    return min(1.0, tail if alternative == "greater" else 2 * tail)
