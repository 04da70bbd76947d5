"""Which of several known sources wrote some texts, how certain that is, and whether it may be none of them.

There are two questions. Which source is it, if it is a known one? The answer is a posterior, calibrated on held-out
texts. Is it a known one at all? The answer is a p-value, which is valid for each source, however accurate the
attributor is.

Both use held-out texts. One half of their prompts is for calibration. The other half is for comparison, and nothing is
fitted to it. Shapes: n texts, k classes, b bundles of s texts each; a bundle is a row of indices into texts, (b, s).
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
"""p-value below which a source counts as unknown."""

BLOCK = 100
"""Subsets drawn at once, to bound memory; part of what a seed means."""

DRAWS, FEW_DRAWS = 10_000, 500
"""Subsets drawn for a p-value of given texts, and for each of the many p-values that measure the test's power."""

BUNDLES = 200
"""Most bundles of a class for calibration, and for measuring the power."""

ANSWER_SHARE, FAMILIARITY_SHARE = 0.8, 0.2
"""Shares of the false alarms that the two scores of a class may cause: weighted Bonferroni.

Other models of the same corpus are hard to detect, and only the attributor's answers can show them. Another corpus is
easy to detect by familiarity.
"""

ROUNDING = 1e-9
"""Largest difference by rounding of scores that are equal in theory."""


@dataclass(frozen=True)
class Seen:
    """Scores of n texts: the attributor's answers (n, k), and how familiar each text is, (n,)."""

    proba: Floats
    familiarity: Floats

    def take(self, rows: Ints) -> Seen:
        """Select texts."""
        return Seen(self.proba[rows], self.familiarity[rows])


@dataclass(frozen=True)
class Held:
    """Held-out texts: their scores, their class (-1 if the attributor does not know it), and the source of each.

    A class may have several sources, such as the models of a level. calibrates: which texts are for calibration.
    compares: which are for comparison, one text per source and prompt, since the texts of one prompt are alike and must
    not count as several. prior: (k,) share of each class in training, which is part of the attributor's answers.
    """

    seen: Seen
    label: Ints
    source: Ints
    calibrates: NDArray[np.bool_]
    compares: NDArray[np.bool_]
    prior: Floats

    @staticmethod
    def of(seen: Seen, label: Ints, source: Ints, prompts: Ints, prior: Floats, seed: int) -> Held:
        """Divide held-out texts in two halves by prompt."""
        calibrates = calibrating(prompts, seed)
        order = streams.permutation(len(label), "identify", "comparison", seed)
        _, first = np.unique(np.column_stack([source, prompts])[order], axis=0, return_index=True)
        compares = np.zeros(len(label), dtype=np.bool_)
        compares[order[first]] = True
        return Held(seen, label, source, calibrates, compares & ~calibrates, prior)

    @property
    def sources(self) -> list[tuple[int, int]]:
        """Sources of known classes, each with its class."""
        found = np.unique(np.column_stack([self.source, self.label])[self.label >= 0], axis=0)
        return [(source, label) for source, label in found.tolist()]

    def rows(self, source: int, *, calibrate: bool) -> Ints:
        """Texts of a source that are for calibration, or for comparison."""
        return np.flatnonzero((self.source == source) & (self.calibrates if calibrate else self.compares))


def calibrating(prompts: Ints, seed: int) -> NDArray[np.bool_]:
    """Choose the texts for calibration: those of a random half of the prompts, at least one prompt."""
    known = np.unique(prompts)
    order = streams.permutation(len(known), "identify", "calibration", seed)
    return np.isin(prompts, known[order[: max(1, len(known) // 2)]])


def bundles(rows: Ints, size: int, most: int, *name: streams.Name) -> Ints:
    """Bundles of `size` texts, (b, size): texts are shuffled and cut repeatedly until there are `most` bundles or more.

    Texts of one bundle are distinct; two bundles may share texts. Raises ValueError if `size` exceeds the texts.
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
    """Log-ratio of each text's answer to the prior, in nats: (n, k); bounded, as all log scores are."""
    return np.asarray(np.log(per_text.mixed(proba)) - np.log(prior))


def posterior(pooled: Floats, prior: Floats, temperature: float) -> Floats:
    """Probability of each class, (b, k), from pooled evidence (b, k), the sum over a bundle's texts.

    At temperature 1 it is Bayes' rule for independent texts: the sum of log-probabilities minus (s - 1) log prior. A
    higher temperature reduces the weight of the evidence, not that of the prior.
    """
    from scipy.special import softmax

    return np.asarray(softmax(pooled / temperature + np.log(prior), axis=1))


def fit_temperature(pooled: Floats, truth: Ints, prior: Floats, independent: int) -> float:
    """Temperature at which the posterior of bundles is calibrated: the one with the lowest log loss on them.

    It scales the evidence of a bundle, not of a text (temperature scaling: Guo, Pleiss, Sun and Weinberger, 2017). An
    imperfect attributor errs in the same direction on all texts of one source, so its log-probabilities are not
    independent, and their sum is overconfident.

    independent: number of bundles without common texts. If all N of them were right, the temperature would go to zero.
    So the target of the true class is Laplace's (N + 1) / (N + 2), and the other classes share the rest, as in Platt
    (1999). On average, a posterior is then as confident as this number of bundles can justify.
    """
    from scipy.optimize import minimize_scalar

    k = pooled.shape[1]
    missed = 1 / (independent + 2)
    target = np.full(pooled.shape, missed / (k - 1))
    target[np.arange(len(truth)), truth] = 1 - missed

    def loss(log_temperature: float) -> float:
        found = posterior(pooled, prior, math.exp(log_temperature))
        return -float((target * np.log(np.maximum(found, 1e-300))).sum(axis=1).mean())

    # The loss is convex in 1 / temperature, so it has one minimum over the logarithm too.
    return math.exp(float(minimize_scalar(loss, bounds=(math.log(0.05), math.log(1e5)), method="bounded").x))


@dataclass(frozen=True)
class Calibration:
    """The posterior of bundles of `size` texts: its temperature, fitted on held-out bundles of `fitted` texts.

    accuracy: share of bundles of the other half whose most probable class is the true one. If a class has fewer texts
    than a bundle, `fitted` is that number, and the evidence of a bundle counts as that of `fitted` texts.
    """

    size: int
    fitted: int
    temperature: float
    accuracy: float

    @staticmethod
    def of(held: Held, size: int, seed: int) -> Calibration:
        """Calibrate the posterior of bundles of `size` texts."""
        k = len(held.prior)
        least = min(len(held.rows(source, calibrate=half)) for source, _ in held.sources for half in (True, False))
        fitted = min(size, least)
        pools = {half: _pooled_bundles(held, fitted, half, seed) for half in (True, False)}
        independent = sum(len(held.rows(source, calibrate=True)) // fitted for source, _ in held.sources)
        temperature = fit_temperature(*pools[True], held.prior, independent)
        pooled, truth = pools[False]
        credit = per_text.credits(posterior(pooled, held.prior, temperature), truth)
        # Classes may have different numbers of texts, but have equal weight.
        accuracy = float(np.mean([credit[truth == label].mean() for label in range(k)]))
        return Calibration(size, fitted, temperature, accuracy)

    def posterior(self, proba: Floats, prior: Floats) -> Floats:
        """Posterior of bundles, (b, k), from the answers for their texts: (b, size, k)."""
        pooled = evidence(proba.reshape(-1, len(prior)), prior).reshape(proba.shape).sum(axis=1)
        return posterior(pooled * (self.fitted / self.size), prior, self.temperature)


def _pooled_bundles(held: Held, size: int, half: bool, seed: int) -> tuple[Floats, Ints]:
    """Pooled evidence and class of bundles of all classes, from one half of the held-out texts."""
    said = evidence(held.seen.proba, held.prior)
    pooled, truth = [], []
    most = -(-BUNDLES * len(held.prior) // len(held.sources))
    for source, label in held.sources:
        rows = held.rows(source, calibrate=half)
        drawn = bundles(rows, size, most, "identify", "bundles", seed, source, str(half))
        pooled.append(said[drawn].sum(axis=1))
        truth.append(np.full(len(drawn), label))
    return np.concatenate(pooled), np.concatenate(truth)


# Is it none of them?


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

    It is the share of subsets of s of the s + m texts whose mean is at least as far off, by `distance`, as that of the
    bundle: a permutation test, or for single texts the conformal p-value (Vovk, Gammerman and Shafer, 2005; Bates,
    Candès, Lei, Romano and Sesia, 2023), which counts all subsets. If given and held-out texts are exchangeable, it is
    at most a with a probability of at most a, in finite samples and for any scores. For larger bundles, subsets are
    drawn at random, and the given one counts as one of them (Phipson and Smyth, 2010).

    inside: the bundles are from the m texts themselves, and each is compared with the rest of them.
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
    """Random subsets of `size` out of n texts, as weights that turn sums into means: (BLOCK, n)."""
    words = streams.raw(BLOCK * n, "identify", "subsets", seed, size, n, row=block).reshape(BLOCK, n)
    weights = np.zeros((BLOCK, n))
    np.put_along_axis(weights, np.argpartition(words, size - 1, axis=1)[:, :size], 1 / size, axis=1)
    return weights


def smallest_p(held: Held, size: int) -> float:
    """Smallest p-value that bundles of `size` texts can have."""
    m = min(len(held.rows(source, calibrate=False)) for source, _ in held.sources)
    return min(1.0, max(1 / math.comb(size + m, size), 1 / (DRAWS + 1) if size > 1 else 0.0) / ANSWER_SHARE)


def outside_p(held: Held, given: Seen, drawn: Ints, seed: int, *, own: int = -1, draws: int = DRAWS) -> Floats:
    """p-value of "one of the sources wrote it" for each bundle (b, s) of given texts: (b,) float64.

    For each source, two scores are compared with those of its held-out texts, to which nothing was fitted. One is the
    log-probability that the attributor gives to its class, which is lower for texts of an unknown source than for texts
    of the class. The other is familiarity, which may be too low or too high. Each p-value is divided by its share of
    the false alarms, and the smaller one is valid for the source (Genovese, Roeder and Wasserman, 2006). The largest
    over sources is valid for each of them: class-conditional, or Mondrian, conformal inference (Vovk, 2013).

    own: if the given texts are the held-out texts of a source (`given` is `held.seen`), this source; each bundle is
    then compared with the rest of its texts.
    """
    known, asked = (np.log(per_text.mixed(seen.proba)) for seen in (held.seen, given))
    found = []
    for source, label in held.sources:
        rows = held.rows(source, calibrate=False)
        usual = float(held.seen.familiarity[held.rows(source, calibrate=True)].mean())
        test = functools.partial(permutation_p, seed=seed, draws=draws, inside=source == own)
        answered = test(asked[drawn, label], known[rows, label], np.negative)
        familiar = test(given.familiarity[drawn], held.seen.familiarity[rows], _far_from(usual))
        found.append(np.minimum(1.0, np.minimum(answered / ANSWER_SHARE, familiar / FAMILIARITY_SHARE)))
    return np.asarray(np.max(found, axis=0))


def _far_from(usual: float) -> Callable[[Floats], Floats]:
    return lambda mean: np.abs(mean - usual)


@dataclass(frozen=True)
class Power:
    """Power of the test against an unknown source, for bundles of `size` texts.

    auroc: probability that a bundle of the unknown source has a smaller p-value than one of a known source, ties one
    half; detected, false_alarms: shares of p-values below ALPHA for the unknown source and for the known ones.
    """

    size: int
    auroc: float
    detected: float
    false_alarms: float

    @staticmethod
    def of(held: Held, size: int, seed: int) -> Power:
        """Measure the power, with the texts of class -1 as those of unknown sources.

        Bundles are smaller if a source has fewer than twice as many texts for comparison.
        """
        strangers = np.unique(held.source[held.label < 0]).tolist()
        rows = {source: held.rows(source, calibrate=False) for source in [*strangers, *dict(held.sources)]}
        known = dict(held.sources)
        size = max(1, min(size, *(len(own) // (1 + (source in known)) for source, own in rows.items())))
        found: dict[int, list[Floats]] = {}
        for source, own in rows.items():
            most = -(-BUNDLES // len(known if source in known else strangers))
            drawn = bundles(own, size, most, "identify", "power", seed, source)
            p = outside_p(held, held.seen, drawn, seed, own=source if source in known else -1, draws=FEW_DRAWS)
            found.setdefault(known.get(source, -1), []).append(p)
        by_class = {label: np.concatenate(p) for label, p in found.items()}
        foreign = by_class.pop(-1)
        learnt = [*by_class.values()]
        return Power(
            size=size,
            auroc=float(np.mean([auroc(np.sort(-foreign), np.sort(-own)) for own in learnt])),
            detected=float((foreign < ALPHA).mean()),
            false_alarms=float(np.mean([(own < ALPHA).mean() for own in learnt])),
        )
