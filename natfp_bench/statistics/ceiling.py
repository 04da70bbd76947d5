"""The Bayes-optimal attribution, from the variants' own likelihoods.

If an attributor knew every variant's distribution over texts, it could not do better on average than to guess the class
with the highest posterior. The accuracy and the information of this guess bound every attributor of texts, if the
candidates are the variants that wrote them.

Shapes, for n texts, V variants and k classes: `log_likelihood` (n, V) float64, nats of every text under every
variant's actual sampler, -inf if it is impossible; `source` (n,) int, the variant that wrote it; `classes`
(V,) int, the class of each variant; `lengths` (n,) int, tokens scored; `posterior` (n, k); `truth` (n,) int.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from natfp_bench.base.records import Record

from . import per_text
from .intervals import Floats, Interval, Ints, mean_interval

TOLERANCE = 4.0
"""Standard errors that the self-check allows."""


class SelfCheck(Record):
    """Is the ceiling right as often as its posteriors say? excess: hits minus the expected number, in texts."""

    excess: float
    standard_error: float
    ok: bool


class Divergence(Record):
    """Mean KL divergence per token in bits; value is None if it is infinite.

    standard_error is None if the value is, or if there is a single text; impossible: share of the first variant's texts
    that the second variant can never write.
    """

    value: float | None
    standard_error: float | None
    impossible: float


def posterior(log_likelihood: Floats, classes: Ints) -> Floats:
    """Posterior over classes of each text, (n, k) float64, rows sum to one.

    The prior is uniform over classes; the likelihood of a class is the mean over its variants. Classes with the same
    likelihoods get exactly the same posterior, so ties stay ties: 1/k each if all are the same. Raises ValueError on a
    class without variants, on NaN or +inf, and on a text that is impossible under every variant.
    """
    log_likelihood, classes = np.asarray(log_likelihood, dtype=np.float64), np.asarray(classes)
    if np.isnan(log_likelihood).any() or np.isposinf(log_likelihood).any():
        raise ValueError("log-likelihoods must be finite or -inf")
    if len(nowhere := np.flatnonzero(np.isneginf(log_likelihood).all(axis=1))):
        raise ValueError(f"{len(nowhere)} texts are impossible under every variant, the first is text {nowhere[0]}")
    if len(empty := np.flatnonzero(np.bincount(classes) == 0)):
        raise ValueError(f"class {empty[0]} has no variants")
    by_class = np.column_stack([_log_mean_exp(log_likelihood[:, classes == c]) for c in range(int(classes.max()) + 1)])
    relative = np.exp(by_class - by_class.max(axis=1, keepdims=True))
    return np.asarray(relative / relative.sum(axis=1, keepdims=True))


def mutual_information(posterior: Floats, truth: Ints, prompts: Ints, seed: int) -> Interval:
    """Mutual information of text and class in bits: the mean over texts of log2(k * posterior of the truth).

    It is not mixed with the uniform distribution, unlike an attributor's bits, because the ceiling's confidence is
    justified. It is exactly 0 for uniform posteriors; the interval is a percentile bootstrap over prompts. A posterior
    of 0, which would give -inf, counts as the smallest positive double: about -1074 bits, which JSON can represent and
    nobody can mistake for a measurement. This happens on unseen replicates, or if likelihood and sampler disagree.
    """
    of_truth = np.maximum(per_text.of_truth(posterior, truth), math.ulp(0.0))
    return mean_interval(np.log2(of_truth / (1.0 / np.shape(posterior)[1])), prompts, seed)


def self_check(posterior: Floats, truth: Ints) -> SelfCheck:
    """Compare the ceiling's hits with the number that its posteriors predict, for balanced classes.

    If likelihood and sampler agree, a guess with posterior p is right with probability p. So the sum over texts of
    credit - p has mean 0 and variance at most sum p (1 - p); with m tied guesses, which share credit, it is sum p/m -
    p^2. `ok` allows 4 standard errors and one text more: near certainty, the number of misses is Poisson rather than
    normal, and a single miss among a thousand nearly certain guesses may be many standard errors.
    """
    posterior = np.asarray(posterior, dtype=np.float64)
    guess = posterior.max(axis=1)
    tied = (posterior == guess[:, None]).sum(axis=1)
    excess = math.fsum(per_text.credits(posterior, truth) - guess)
    # Rounding may leave p/m - p^2 slightly below zero.
    standard_error = math.sqrt(math.fsum(np.maximum(guess / tied - guess**2, 0.0)))
    return SelfCheck(excess=excess, standard_error=standard_error, ok=abs(excess) <= TOLERANCE * standard_error + 1.0)


def mean_kl(log_likelihood: Floats, lengths: Ints, source: Ints) -> list[list[Divergence]]:
    """Mean KL divergence per token, in bits, of every variant (row) from every other (column): V x V.

    It is the sum of the log-likelihood ratios of the row's texts over the sum of their tokens; the standard error is
    that of a ratio by the delta method (Cochran 1977, chapter 6). Noise can make a small divergence negative. Raises
    ValueError if a variant wrote no text, no token, or a text that is impossible under its own likelihood.
    """
    return [
        [_divergence(column, tokens) for column in (ratios / math.log(2.0)).T]
        for ratios, tokens in _log_ratios(log_likelihood, lengths, source)
    ]


def _log_mean_exp(columns: Floats) -> Floats:
    # Sorted, so that equal sets give equal sums; relative to the largest, so that equal values give the same value.
    columns = np.sort(columns, axis=1)
    largest = np.where(np.isneginf(columns[:, -1]), 0.0, columns[:, -1])
    with np.errstate(divide="ignore"):
        return np.asarray(largest + np.log(np.exp(columns - largest[:, None]).mean(axis=1)))


def _log_ratios(log_likelihood: Floats, lengths: Ints, source: Ints) -> Iterator[tuple[Floats, Floats]]:
    """For each variant, log-likelihood ratios of its texts against all variants, (texts, V) nats, and their lengths."""
    log_likelihood, source = np.asarray(log_likelihood, dtype=np.float64), np.asarray(source)
    for variant in range(log_likelihood.shape[1]):
        own = log_likelihood[source == variant]
        tokens = np.asarray(lengths, dtype=np.float64)[source == variant]
        if not tokens.sum() > 0:
            raise ValueError(f"variant {variant} wrote no tokens")
        if not np.isfinite(own[:, variant]).all():
            raise ValueError(f"variant {variant} wrote a text that is impossible under its own likelihood")
        yield own[:, [variant]] - own, tokens


def _divergence(ratios: Floats, tokens: Floats) -> Divergence:
    impossible = float(np.isposinf(ratios).mean())
    if impossible:
        return Divergence(value=None, standard_error=None, impossible=impossible)
    n, total = len(tokens), math.fsum(tokens)
    value = math.fsum(ratios) / total
    residual = ratios - value * tokens
    error = math.sqrt(n / (n - 1) * math.fsum(residual**2)) / total if n > 1 else None
    return Divergence(value=value, standard_error=error, impossible=0.0)
