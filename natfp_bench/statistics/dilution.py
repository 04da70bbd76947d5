"""What share of a stream of texts is by model A, if the rest is by model B?

Every text of the stream is by A with one probability, the *share*, which is estimated with a 95% interval. There are
two estimators.

- **Likelihoods**, which are known exactly: maximum likelihood of a mixture of two known distributions, with the
  interval of the likelihood ratio (Wilks, 1938). No estimator of texts can do much better.
- **Attributors**, whose probabilities need not be right. A likelihood that trusts them is biased, as the mixture that
  Saerens, Latinne and Decaestecker (2002) fit is. So A's probability is only a score here: the mean score of a stream
  lies between the mean scores of texts that are known to be by A and by B, and its place between them is the share.
  This is the adjusted count of quantification (Forman, 2008) with probabilities in place of guesses (Bella et al.,
  2010). It takes no calibrated probabilities, but calibration texts that the attributor has not learnt from. The
  interval is Fieller's (1954): all shares at which the mean score of the stream is not significantly wrong. So it
  contains what so few calibration texts leave unsure.

How good both are is measured on many streams whose share is known. A unit is one prompt (one row of unprompted texts):
each contributes one text to a stream, by A or by B, or both texts to the calibration, never to both. Streams of one
pair share texts; each of them alone is a fair sample, so means over streams are right, but they vary more than as many
independent streams would.

Shapes: u units, r streams of n texts each, m calibration texts of each model. `odds`: log of the probability of A over
that of B, in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from natfp_bench.base import streams
from natfp_bench.base.records import Record

from .intervals import Floats

SIZES = (100, 400, 1000)
"""Numbers of texts of a stream, as far as there are twice as many units."""

STREAMS = 240
"""Streams of one share and size, over all pairs of models together."""

POWER = 0.8
"""Share of streams whose interval excludes 0, at the smallest share that counts as found."""

SURE = 30.0
"""Largest log-odds that count, in nats: a text that one of the models cannot write decides nearly, but not wholly."""

ASSUMED = 0.1
"""The score of a text is the probability of A if this share were right: it is best near this share."""

STEPS, PRECISION = 50, 1e-7
"""Most steps towards an estimate, and how near to it suffices."""

Z = 1.959964
"""Normal quantile at 0.975; its square is the quantile of chi-squared with one degree of freedom at 0.95."""


class Estimates(NamedTuple):
    """Estimated shares and their 95% intervals, (r,) each, within [0, 1]."""

    share: Floats
    low: Floats
    high: Floats


class Pair(NamedTuple):
    """Log-odds of the texts of two models, unit by unit: of_a (u,) for those by A, of_b (u,) for those by B."""

    of_a: Floats
    of_b: Floats


class AtShare(Record):
    """Estimates of streams of which one share is by A.

    estimate, low, high: means over the streams. bias: mean estimate minus the share; no estimate is outside of [0, 1],
    so it is above zero at 0, and below zero at 1. spread: standard deviation of the estimates. coverage: how often the
    interval contains the share. detected: how often the interval excludes 0. uncorrected: mean estimate if the
    attributor's probabilities are trusted; None for likelihoods.
    """

    share: float
    estimate: float
    low: float
    high: float
    bias: float
    spread: float
    coverage: float
    detected: float
    uncorrected: float | None


class Diluted(Record):
    """How well one attributor estimates shares from streams of so many texts.

    smallest: the share that is found in four of five streams, whose intervals exclude 0, interpolated between the
    shares that were tried; the smallest of these if it is already found, None if none is. streams: for each share.
    """

    attributor: str
    texts: int
    streams: int
    smallest: float | None
    at: tuple[AtShare, ...]


class Dilution(Record):
    """Streams of texts by two models, mixed at known shares, and what was estimated.

    pairs: ordered pairs of models. calibration: texts of each model that attributors are corrected with.
    """

    pairs: int
    calibration: int
    found: tuple[Diluted, ...]


def most_likely(odds: Floats) -> Estimates:
    """Maximum-likelihood shares of streams, whose odds (r, n) are those of the true distributions, with intervals."""
    excess = _excess(odds)
    best = _mode(excess)
    least = _log_likelihood(excess, best) - Z**2 / 2

    def end(edge: float) -> Floats:
        """The share between an edge and the best one at which the log-likelihood falls below the least, or the edge."""
        outside = np.full_like(best, edge)

        def over(share: Floats) -> tuple[Floats, Floats]:
            return _log_likelihood(excess, share) - least, _slopes(excess, share)[0]

        reaches = over(outside)[0] >= 0
        return np.where(reaches, edge, _zero(over, outside, best))

    return Estimates(best, end(0.0), end(1.0))


def corrected(odds: Floats, of_a: Floats, of_b: Floats) -> Estimates:
    """Shares of streams by calibrated mean scores, with Fieller's intervals.

    odds: (r, n) of the streams. of_a, of_b: (r, m) of calibration texts; the i-th texts of both share a unit.
    """
    stream, a, b = (_score(one) for one in (odds, of_a, of_b))
    n, m = odds.shape[1], of_a.shape[1]
    apart, beyond = a.mean(1) - b.mean(1), stream.mean(1) - b.mean(1)
    var_a, var_b = a.var(1, ddof=1), b.var(1, ddof=1)
    together = ((a - a.mean(1, keepdims=True)) * (b - b.mean(1, keepdims=True))).sum(1) / (m - 1)
    # At share p, the variance of stream - p a - (1 - p) b is c0 + c1 p + c2 p^2. The first part is that of the stream,
    # a mixture of both, the second that of the calibration.
    c0 = var_b / n + var_b / m
    c1 = (var_a - var_b + apart**2) / n + 2 * (together - var_b) / m
    c2 = -(apart**2) / n + (var_a + var_b - 2 * together) / m
    # (beyond - p apart)^2 <= z^2 variance(p): a quadratic inequality.
    square, linear, constant = apart**2 - Z**2 * c2, -2 * beyond * apart - Z**2 * c1, beyond**2 - Z**2 * c0
    # Where A and B hardly differ, the inequality bounds no share.
    bounded = square > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0.0))
        best = np.where(apart != 0, beyond / apart, 0.5)
        low = np.where(bounded, (-linear - root) / (2 * square), 0.0)
        high = np.where(bounded, (-linear + root) / (2 * square), 1.0)
    return Estimates(*(np.clip(one, 0.0, 1.0) for one in (best, low, high)))


def diluted(
    attributor: str, pairs: Sequence[Pair], shares: Sequence[float], size: int, seed: int, *, exact: bool = False
) -> Diluted:
    """Estimate the shares of many streams of `size` texts that are mixed from known ones, at each of some shares.

    exact: the odds are those of the true distributions. Raises ValueError if a pair has fewer than 2 * size units.
    """
    per = -(-STREAMS // len(pairs))
    drawn = [_drawn(pair, number, per, size, seed) for number, pair in enumerate(pairs)]
    by_a, by_b, chance, of_a, of_b = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    found = []
    for share in shares:
        # One stream at all shares: a text that is by A at one share is by A at every larger one.
        odds = np.where(chance < share, by_a, by_b)
        made = most_likely(odds) if exact else corrected(odds, of_a, of_b)
        mean = float(made.share.mean())
        found.append(
            AtShare(
                share=share,
                estimate=mean,
                low=float(made.low.mean()),
                high=float(made.high.mean()),
                bias=mean - share,
                spread=float(made.share.std(ddof=1)),
                coverage=float(((made.low <= share) & (share <= made.high)).mean()),
                detected=float((made.low > 0).mean()),
                uncorrected=None if exact else float(_mode(_excess(odds)).mean()),
            )
        )
    smallest = reached([(one.share, one.detected) for one in found])
    return Diluted(attributor=attributor, texts=size, streams=per * len(pairs), smallest=smallest, at=tuple(found))


def reached(points: Sequence[tuple[float, float]], height: float = POWER) -> float | None:
    """The first x above 0 at which a piecewise linear curve reaches a height, None if it does not; sorted by x.

    Below the smallest x above 0, nothing is interpolated: the curve may have its steepest part there.
    """
    before: tuple[float, float] | None = None
    for x, y in points:
        if not x:
            continue
        if y >= height:
            return x if before is None else before[0] + (x - before[0]) * (height - before[1]) / (y - before[1])
        before = (x, y)
    return None


def sizes(units: int) -> list[int]:
    """Sizes of streams, given the units of each pair: one half of them is for the streams, the other calibrates.

    If not even the smallest size fits, it is that half.
    """
    half = units // 2
    return [size for size in SIZES if size <= half] or ([half] if half > 1 else [])


def _drawn(pair: Pair, number: int, per: int, size: int, seed: int) -> tuple[Floats, ...]:
    """Odds of A's and of B's text at each place of the streams, what decides between them, and calibration odds."""
    units = len(pair.of_a)
    if units < 2 * size:
        raise ValueError(f"streams of {size} texts take {2 * size} units, not {units}")
    order = np.stack([streams.permutation(units, "dilution", seed, "order", number, i) for i in range(per)])
    chance = streams.uniforms(range(per), size, "dilution", seed, "writer", number)
    mixed, known = order[:, :size], order[:, units - units // 2 :]
    return pair.of_a[mixed], pair.of_b[mixed], chance, pair.of_a[known], pair.of_b[known]


def _score(odds: Floats) -> Floats:
    """Probability of A, if texts by A had the assumed share: (r, n), in [0, 1]."""
    return np.asarray(ASSUMED / (ASSUMED + (1 - ASSUMED) * np.exp(-np.clip(odds, -SURE, SURE))))


def _excess(odds: Floats) -> Floats:
    """Probability of A over that of B, minus 1: (r, n)."""
    return np.asarray(np.exp(np.clip(odds, -SURE, SURE)) - 1)


def _log_likelihood(excess: Floats, share: Floats) -> Floats:
    """Log-likelihood of shares (r,), relative to a share of 0."""
    return np.asarray(np.log(1 + share[:, None] * excess).sum(1))


def _slopes(excess: Floats, share: Floats) -> tuple[Floats, Floats]:
    """First and second derivative of the log-likelihood at shares (r,)."""
    each = excess / (1 + share[:, None] * excess)
    return np.asarray(each.sum(1)), np.asarray(-(each * each).sum(1))


def _mode(excess: Floats) -> Floats:
    """Share at which the likelihood of a mixture is largest, (r,): where its falling derivative is zero, or an edge."""
    none, every = np.zeros(len(excess)), np.ones(len(excess))
    falls, rises = _slopes(excess, none)[0] <= 0, _slopes(excess, every)[0] >= 0
    inside = _zero(lambda share: _slopes(excess, share), every, none)
    return np.where(falls, 0.0, np.where(rises, 1.0, inside))


def _zero(function: Callable[[Floats], tuple[Floats, Floats]], below: Floats, above: Floats) -> Floats:
    """Zeros of monotone functions, between places below and above zero: (r,), by Newton's steps, else by halving.

    function: values and derivatives at some places, (r,) each.
    """
    at = (below + above) / 2
    for _ in range(STEPS):
        value, slope = function(at)
        below, above = np.where(value < 0, at, below), np.where(value < 0, above, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = at - value / slope
        kept = (step > np.minimum(below, above)) & (step < np.maximum(below, above))
        before, at = at, np.where(kept, step, (below + above) / 2)
        if np.abs(at - before).max() < PRECISION:
            break
    return at
