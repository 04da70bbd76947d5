"""Which of several known sources wrote given texts, how sure that is, and whether it may be none of them.

Two questions, two answers. If the source is one of those known: the posterior, which held-out texts have calibrated.
Whether it is one of them at all: a p-value, which is valid for each of them whatever the attributor is worth.

Both rest on held-out texts, of whose prompts one half calibrates and the other, which nothing was fitted to, compares.
Shapes: n texts, k classes, b bundles of s texts each; a bundle is a row of indices into texts, (b, s).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams

from . import per_text
from .discrimination import auroc
from .intervals import Floats, Ints

ALPHA = 0.05
"""p-value below which a source counts as none of those known."""

BLOCK = 100
"""Subsets that are drawn at once: bounds memory; part of what a seed means."""

DRAWS, FEW_DRAWS = 10_000, 500
"""Subsets that a p-value of given texts rests on, and each of the many that measure the test's power."""

BUNDLES = 200
"""Bundles of a class that calibrate, and that measure power, at most."""

TOLD, FAMILIAR = 0.8, 0.2
"""Shares of the false alarms that the two scores of a class may make: weighted Bonferroni.

Other models of one corpus are hard to notice, and by the attributor's answers alone; another corpus is easy to notice.
"""

ROUNDING = 1e-9
"""Scores that are equal on paper may differ by so much."""


@dataclass(frozen=True)
class Seen:
    """What is known of n texts: the attributor's answers (n, k), and how familiar each text is, (n,)."""

    proba: Floats
    familiarity: Floats

    def take(self, rows: Ints) -> Seen:
        """Select texts."""
        return Seen(self.proba[rows], self.familiarity[rows])


@dataclass(frozen=True)
class Held:
    """Held-out texts: what is seen of them, their class (-1: of none that the attributor knows), who calibrates.

    prior: (k,) share of each class in training, which the attributor's answers contain.
    """

    seen: Seen
    label: Ints
    calibrates: NDArray[np.bool_]
    prior: Floats

    def rows(self, label: int, *, calibrate: bool) -> Ints:
        """Texts of a class, of the half that calibrates or of the other."""
        return np.flatnonzero((self.label == label) & (self.calibrates == calibrate))


def calibrating(prompts: Ints, seed: int) -> NDArray[np.bool_]:
    """Choose the texts that calibrate: those of one half of the prompts, by lot; at least one prompt."""
    known = np.unique(prompts)
    order = streams.permutation(len(known), "identify", "calibration", seed)
    return np.isin(prompts, known[order[: max(1, len(known) // 2)]])


def bundles(rows: Ints, size: int, most: int, *name: streams.Name) -> Ints:
    """Bundles of `size` of some texts, (b, size): shuffled and cut, again and again, until there are `most` or more.

    Texts of one bundle are distinct, those of two bundles need not be. Raises ValueError for more than there are.
    """
    if not 1 <= size <= len(rows):
        raise ValueError(f"no bundles of {size} out of {len(rows)} texts")
    disjoint = len(rows) // size
    if size == 1:
        return rows[:, None]
    rounds = -(-most // disjoint)
    orders = [streams.permutation(len(rows), *name, "round", number) for number in range(rounds)]
    return np.concatenate([rows[order[: disjoint * size]].reshape(disjoint, size) for order in orders])


# The posterior.


def evidence(proba: Floats, prior: Floats) -> Floats:
    """What each text says of each class beyond the prior, in nats: (n, k); bounded, as all log scores are."""
    return np.asarray(np.log(per_text.mixed(proba)) - np.log(prior))


def posterior(pooled: Floats, prior: Floats, temperature: float) -> Floats:
    """Probability of each class, (b, k), from pooled evidence (b, k): the sum over a bundle's texts.

    At temperature 1 it is Bayes' rule for independent texts, the sum of log-probabilities less (s - 1) log prior. A
    higher one believes the evidence less, and the prior as before.
    """
    from scipy.special import softmax

    return np.asarray(softmax(pooled / temperature + np.log(prior), axis=1))


def fit_temperature(pooled: Floats, truth: Ints, prior: Floats, independent: int) -> float:
    """Temperature at which the posterior of bundles is calibrated: it has the least log loss on them.

    Temperature scaling (Guo, Pleiss, Sun and Weinberger, 2017), of a bundle's evidence and not of a text's: an
    imperfect attributor errs on the texts of one source in the same direction, so that its log-probabilities are no
    independent evidence, and their sum promises too much.

    independent: how many of the bundles have no text in common. All N right would be believed without end; so the
    targets are Laplace's (N + 1) / (N + 2) for the true class and the rest shared by the others, as Platt (1999) has
    has them, and on the average a posterior goes as far as so many bundles can vouch for.
    """
    from scipy.optimize import minimize_scalar

    k = pooled.shape[1]
    missed = 1 / (independent + 2)
    target = np.full(pooled.shape, missed / (k - 1))
    target[np.arange(len(truth)), truth] = 1 - missed

    def loss(log_temperature: float) -> float:
        found = posterior(pooled, prior, math.exp(log_temperature))
        return -float((target * np.log(np.maximum(found, 1e-300))).sum(axis=1).mean())

    # The loss is convex in 1 / temperature, so that it has one minimum in its logarithm, too.
    return math.exp(float(minimize_scalar(loss, bounds=(math.log(0.05), math.log(1e5)), method="bounded").x))


@dataclass(frozen=True)
class Calibration:
    """The posterior of bundles of a size: its temperature, fitted on held-out bundles of `fitted` texts.

    accuracy: share of bundles of the other half whose most probable class is the true one. Where a class has fewer
    texts than a bundle, its evidence counts as that of `fitted` texts.
    """

    size: int
    fitted: int
    temperature: float
    accuracy: float

    @staticmethod
    def of(held: Held, size: int, seed: int) -> Calibration:
        """Calibrate the posterior of bundles of so many texts."""
        k = len(held.prior)
        least = min(len(held.rows(label, calibrate=half)) for label in range(k) for half in (True, False))
        fitted = min(size, least)
        told = {half: _pooled_bundles(held, fitted, half, seed) for half in (True, False)}
        independent = sum(len(held.rows(label, calibrate=True)) // fitted for label in range(k))
        temperature = fit_temperature(*told[True], held.prior, independent)
        pooled, truth = told[False]
        credit = per_text.credits(posterior(pooled, held.prior, temperature), truth)
        # Classes may have more or fewer texts; each counts alike.
        accuracy = float(np.mean([credit[truth == label].mean() for label in range(k)]))
        return Calibration(size, fitted, temperature, accuracy)

    def posterior(self, proba: Floats, prior: Floats) -> Floats:
        """Posterior of bundles, (b, k), from the answers for their texts: (b, size, k)."""
        pooled = evidence(proba.reshape(-1, len(prior)), prior).reshape(proba.shape).sum(axis=1)
        return posterior(pooled * (self.fitted / self.size), prior, self.temperature)


def _pooled_bundles(held: Held, size: int, half: bool, seed: int) -> tuple[Floats, Ints]:
    """Pooled evidence and class of held-out bundles of all classes, of one half."""
    said = evidence(held.seen.proba, held.prior)
    pooled, truth = [], []
    for label in range(len(held.prior)):
        rows = held.rows(label, calibrate=half)
        drawn = bundles(rows, size, BUNDLES, "identify", "bundles", seed, label, str(half))
        pooled.append(said[drawn].sum(axis=1))
        truth.append(np.full(len(drawn), label))
    return np.concatenate(pooled), np.concatenate(truth)


# None of these?


def permutation_p(
    given: Floats,
    reference: Floats,
    distance: Callable[[Floats], Floats],
    seed: int,
    *,
    draws: int = DRAWS,
    inside: bool = False,
) -> Floats:
    """p-value of each bundle of scores (b, s) against the scores of m held-out texts, (m,): (b,) float64.

    How far the mean of a bundle lies off, as `distance` has it, among subsets of s of the s + m texts: the permutation
    test, and for single texts the conformal p-value (Vovk, Gammerman and Shafer, 2005; Bates, Candès, Lei, Romano and
    Sesia, 2023), which counts all subsets there are. Where given and held-out texts are exchangeable it is at most a
    with probability a at most, in finite samples, whatever the scores. Other subsets are drawn by lot, and the one
    given counts as one of them (Phipson and Smyth, 2010).

    inside: the bundles are of the m texts themselves, and each is compared with the rest of them.
    """
    size, m = given.shape[1], len(reference)
    least = distance(given.mean(axis=1)) - ROUNDING
    if size == 1:
        nearer = np.searchsorted(np.sort(distance(reference)), least, side="left")
        return np.asarray((m - nearer + (not inside)) / (m + (not inside)))
    reached = np.ones(len(given))
    for block in range(draws // BLOCK):
        if inside:
            means = (_subsets(size, m, block, seed) @ reference)[:, None]
        else:
            weights = _subsets(size, size + m, block, seed)
            means = weights[:, :size] @ given.T + (weights[:, size:] @ reference)[:, None]
        reached += (distance(means) >= least).sum(axis=0)
    return np.asarray(reached / (1 + draws // BLOCK * BLOCK))


@functools.lru_cache(maxsize=2 * FEW_DRAWS // BLOCK)
def _subsets(size: int, n: int, block: int, seed: int) -> Floats:
    """Subsets of a size out of n, as weights whose sums are means: (BLOCK, n)."""
    words = streams.raw(BLOCK * n, "identify", "subsets", seed, size, n, row=block).reshape(BLOCK, n)
    weights = np.zeros((BLOCK, n))
    np.put_along_axis(weights, np.argpartition(words, size - 1, axis=1)[:, :size], 1 / size, axis=1)
    return weights


def smallest_p(held: Held, size: int) -> float:
    """Smallest p-value that bundles of a size can have."""
    m = min(len(held.rows(label, calibrate=False)) for label in range(len(held.prior)))
    return min(1.0, max(1 / math.comb(size + m, size), 1 / (DRAWS + 1) if size > 1 else 0.0) / TOLD)


def outside_p(held: Held, given: Seen, drawn: Ints, seed: int, *, own: int = -1, draws: int = DRAWS) -> Floats:
    """p-value of each bundle (b, s) of given texts being by one of the classes: (b,) float64.

    For each class two scores are compared with those of its held-out texts, which nothing was fitted to: the
    log-probability that the attributor gives to the class (texts of none of the sources are less like any one of them
    than its own), and familiarity, which may be too low or too high. The smaller p-value, each over its share of the
    false alarms (Genovese, Roeder and Wasserman, 2006), is valid for the class. The largest over classes is valid for
    each of them: class-conditional, or Mondrian, conformal inference (Vovk, 2013).

    own: class that the given texts are the held-out ones of, `given` being `held.seen`; each bundle is then compared
    with the rest of its class.
    """
    known, asked = (np.log(per_text.mixed(seen.proba)) for seen in (held.seen, given))
    found = []
    for label in range(len(held.prior)):
        rows = held.rows(label, calibrate=False)
        usual = float(held.seen.familiarity[held.rows(label, calibrate=True)].mean())
        test = functools.partial(permutation_p, seed=seed, draws=draws, inside=label == own)
        told = test(asked[drawn, label], known[rows, label], np.negative)
        familiar = test(given.familiarity[drawn], held.seen.familiarity[rows], _far_from(usual))
        found.append(np.minimum(1.0, np.minimum(told / TOLD, familiar / FAMILIAR)))
    return np.asarray(np.max(found, axis=0))


def _far_from(usual: float) -> Callable[[Floats], Floats]:
    return lambda mean: np.abs(mean - usual)


@dataclass(frozen=True)
class Power:
    """What the test finds of a source that is none of those known, from bundles of a size.

    auroc: probability that a bundle of the foreigner has a smaller p-value than one of a known source, ties one half;
    detected, false_alarms: shares of theirs that are below ALPHA.
    """

    size: int
    auroc: float
    detected: float
    false_alarms: float

    @staticmethod
    def of(held: Held, size: int, seed: int) -> Power:
        """Measure the power: the foreigner's texts are those of class -1, and every class knows bundles of its own.

        Bundles are smaller where a class has fewer than twice as many texts to compare.
        """
        k = len(held.prior)
        rows = {label: held.rows(label, calibrate=False) for label in range(-1, k)}
        size = max(1, min(size, len(rows[-1]), *(len(rows[label]) // 2 for label in range(k))))
        found = {}
        for label, own in rows.items():
            most = BUNDLES if label < 0 else -(-BUNDLES // k)
            drawn = bundles(own, size, most, "identify", "power", seed, label)
            found[label] = outside_p(held, held.seen, drawn, seed, own=label, draws=FEW_DRAWS)
        foreign, known = found[-1], [found[label] for label in range(k)]
        return Power(
            size=size,
            auroc=float(np.mean([auroc(np.sort(-foreign), np.sort(-own)) for own in known])),
            detected=float((foreign < ALPHA).mean()),
            false_alarms=float(np.mean([(own < ALPHA).mean() for own in known])),
        )
