"""Accuracy against the number of candidates, and what it would be with many more.

A text is attributed right among k candidates if its own class beats k - 1 rivals. With K classes, the share of random
sets of rivals that are beaten is known exactly for every k up to K. Beyond, each text is taken to beat a random rival
with a probability of its own, whose probit is normal over texts: accuracy is then E[Phi(z) ** (k - 1)] (in the line of
Zheng, Achanta and Benjamini, "Extrapolating expected accuracies for large multi-class problems", JMLR 19, 2018). No
scipy: light commands load this module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from natfp_bench.base.records import Record

from .curves import powers
from .intervals import SHARP, Floats, Interval, Ints, jackknife, jackknife_error, student_quantile

FEWEST = 8
"""Fewest classes of which half can be fitted and half held out."""

FURTHER = 1_000
"""Number of candidates of the extrapolation."""

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def wins(proba: Floats, truth: Ints) -> Floats:
    """Which classes each text's own class beats: (n, k) of 1, 0 and 0.5 for a tie; its own column is 0."""
    own = np.take_along_axis(proba, truth[:, None], axis=1)
    found = (proba < own) + 0.5 * (proba == own)
    np.put_along_axis(found, truth[:, None], 0.0, axis=1)
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True)
class Beaten:
    """How many rivals the own class of each text beats, and how many it ties with, (n,) each, of so many rivals."""

    beaten: Floats
    tied: Floats
    rivals: int

    def among(self, k: int) -> Floats:
        """Probability of each text (n,) of being right among k candidates, if k - 1 are drawn from its rivals.

        With j ties the credit is 1 / (j + 1). Its mean over all draws has a closed form, by Vandermonde's identity.
        """
        sets = _log_choose(np.array([float(self.rivals)]), k - 1)
        plain = np.exp(_log_choose(self.beaten, k - 1) - sets)
        if not self.tied.any():
            return np.asarray(plain)
        shared = np.exp(_log_choose(self.beaten + self.tied + 1, k) - sets) - np.exp(_log_choose(self.beaten, k) - sets)
        return np.where(self.tied > 0, shared / (self.tied + 1), plain)


def _log_choose(n: Floats, k: int) -> Floats:
    """Logarithm of the number of ways to choose k of n (whole numbers), -inf if there are fewer."""
    table = _log_factorials(int(n.max()) + 1)
    whole = n.astype(np.int64)
    found = table[whole] - table[np.maximum(whole - k, 0)] - math.lgamma(k + 1)
    return np.where(whole >= k, found, -np.inf)


@functools.cache
def _log_factorials(largest: int) -> Floats:
    return np.array([math.lgamma(n + 1) for n in range(largest + 1)])


@dataclass(frozen=True)
class CandidateLaw:
    """Mean and spread over texts of the probit of beating one random rival."""

    mean: float
    spread: float

    def at(self, k: int) -> float:
        """Accuracy among k candidates."""
        return float(_curves(np.array([self.mean]), np.array([self.spread]), [k])[0, 0])


def fit_law(points: Sequence[tuple[int, float]]) -> CandidateLaw:
    """Fit a law to accuracies (k, accuracy) by least squares."""
    at, seen = [k for k, _ in points], np.array([accuracy for _, accuracy in points])
    means, spreads = np.linspace(-2, 8, 21), np.linspace(0.0, 6, 21)
    for _ in range(6):
        grid = np.array([(mean, spread) for mean in means for spread in spreads])
        errors = ((_curves(grid[:, 0], grid[:, 1], at) - seen) ** 2).sum(axis=1)
        mean, spread = grid[int(np.argmin(errors))]
        step, wide = means[1] - means[0], spreads[1] - spreads[0]
        means = np.linspace(mean - 1.5 * step, mean + 1.5 * step, 13)
        spreads = np.linspace(max(0.0, spread - 1.5 * wide), spread + 1.5 * wide, 13)
    return CandidateLaw(float(mean), float(spread))


def _curves(means: Floats, spreads: Floats, at: Sequence[int]) -> Floats:
    """Accuracies of several laws (m,) among each number of candidates: (m, len(at))."""
    table, heights = _normal()
    beats = np.interp(means[:, None] + spreads[:, None] * NODES, table, heights)
    weights = WEIGHTS / WEIGHTS.sum()
    return np.stack([beats ** (k - 1) @ weights for k in at], axis=1)


@functools.cache
def _normal() -> tuple[Floats, Floats]:
    """The normal distribution function as a table."""
    z = np.linspace(-12, 12, 12_001)
    return z, np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in z])


class CandidateTest(Record):
    """A law of half of the classes, tested on the texts of the others among all classes.

    agrees: whether the difference is within its interval. sound: it is, and the interval is narrow enough to say
    something.
    """

    fitted: int
    among: int
    predicted: Interval
    observed: Interval
    agrees: bool
    sound: bool


class CandidateCurve(Record):
    """Accuracy against the number of candidates.

    points: with the intervals of leaving out one class, as truth and as rival. law: for drawing, (candidates,
    accuracy). further: the extrapolation, only if the law predicted what was held out.
    """

    points: tuple[tuple[int, Interval], ...]
    law: tuple[tuple[int, float], ...]
    test: CandidateTest
    further: tuple[int, Interval] | None


def candidate_curve(beats: Floats, truth: Ints) -> CandidateCurve:
    """Compute the curve of a matrix of `wins` (n, K), K at least FEWEST; texts are given by their class (n,)."""
    classes = beats.shape[1]
    sizes = [k for k in powers(classes, 2) if k <= classes]
    whole, left_out = _with_each_left_out(beats, truth, np.arange(classes))
    points = []
    for k in sizes:
        right = whole.among(k)
        if k < classes:
            without = [float(one.among(k).mean()) for one in left_out]
            points.append((k, jackknife(float(right.mean()), without, "models")))
        else:  # without a class there are fewer candidates
            points.append((k, class_mean(right, truth)))
    law = fit_law(_points(whole, _fitted(classes)))
    tested = _tested(beats, truth)
    further = None
    if tested.sound and classes < FURTHER:
        laws = [fit_law(_points(one, _fitted(classes))) for one in left_out]
        further = (FURTHER, jackknife(law.at(FURTHER), [one.at(FURTHER) for one in laws], "models"))
    drawn = tuple((k, law.at(k)) for k in powers(FURTHER if further else classes, 2))
    return CandidateCurve(points=tuple(points), law=drawn, test=tested, further=further)


def _fitted(classes: int) -> list[int]:
    """Numbers of candidates that a law is fitted to: as many as are left without one class."""
    return powers(classes - 1, 2)


def _points(of: Beaten, sizes: Sequence[int]) -> list[tuple[int, float]]:
    return [(k, float(of.among(k).mean())) for k in sizes]


def _with_each_left_out(beats: Floats, truth: Ints, classes: Ints) -> tuple[Beaten, list[Beaten]]:
    """Rivals beaten by each text of some classes, among all of these classes and without each."""
    mine = np.isin(truth, classes)
    among, own = beats[mine][:, classes], truth[mine]
    won, tied = (among == 1.0).astype(np.float64), (among == 0.5).astype(np.float64)
    beaten, ties = won.sum(axis=1), tied.sum(axis=1)
    left_out = []
    for place, one in enumerate(classes):
        kept = own != one
        left_out.append(Beaten((beaten - won[:, place])[kept], (ties - tied[:, place])[kept], len(classes) - 2))
    return Beaten(beaten, ties, len(classes) - 1), left_out


def class_mean(values: Floats, truth: Ints) -> Interval:
    """Mean of per-text values with the interval of leaving out one class of texts."""
    names, unit = np.unique(truth, return_inverse=True)
    sums, counts = np.bincount(unit, weights=values), np.bincount(unit)
    left_out = (sums.sum() - sums) / (counts.sum() - counts)
    return jackknife(float(sums.sum() / counts.sum()), left_out.tolist() if len(names) > 1 else [], "models")


def _tested(beats: Floats, truth: Ints) -> CandidateTest:
    """Fit the law to every other class, and compare its prediction with the texts of the others among all classes."""
    classes = beats.shape[1]
    half = np.arange(0, classes, 2)
    whole, left_out = _with_each_left_out(beats, truth, half)
    sizes = _fitted(len(half))
    laws = [fit_law(_points(one, sizes)).at(classes) for one in left_out]
    predicted = jackknife(fit_law(_points(whole, sizes)).at(classes), laws, "models")
    others = ~np.isin(truth, half)
    right = _with_each_left_out(beats, truth, np.arange(classes))[0].among(classes)[others]
    observed = class_mean(right, truth[others])
    names, unit = np.unique(truth[others], return_inverse=True)
    means = np.bincount(unit, weights=right) / np.bincount(unit)
    error = math.hypot(jackknife_error(laws), float(means.std(ddof=1)) / math.sqrt(len(names)))
    reach = student_quantile(len(names) - 1) * error
    agrees = bool(abs(predicted.value - observed.value) <= reach)
    sound = agrees and bool(reach <= SHARP * observed.value)
    tested = {"fitted": len(half), "among": classes, "predicted": predicted, "observed": observed}
    return CandidateTest(**tested, agrees=agrees, sound=sound)
