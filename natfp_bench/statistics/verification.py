"""Verification of descent: do these texts come from a descendant of this ancestor?

An attributor knows descendants of k ancestors, and is asked about n texts of a model that it has not met. The support
of an ancestor is the mean over the texts of the logarithm of its probability over the mean of the others'. A pair of an
ancestor and a model is true if the model descends from the ancestor. There are two kinds of false pairs: with models
that descend from another of the k ancestors, and with *strangers*, which descend from none of them.

Which p-value holds? All texts of a model share its accidents, and all descendants of one ancestor share much of theirs.
So neither texts nor descendants are exchangeable; ancestors are. A stranger is one draw of an ancestor, which is not
among the k, with one draw of what was done to it. Given the fit, m strangers and another model of such an ancestor are
exchangeable: none of them had a part in the fit, and all were drawn alike. So the rank of the other model's support
among theirs is uniform, whatever the attributor and the distribution (conformal p-value: Vovk, Gammerman and Shafer,
2005), and p = (1 + strangers with at least this support) / (m + 1) is at most a with a probability of at most a. This
needs as many ancestors as strangers, and no p is below 1 / (m + 1). Descendants of the k ancestors are no substitute:
an attributor that knows a model's own ancestor gives the probability to that one, and little is left for the others.

For the same reason a model that descends from another of the k ancestors has less support for this one than a stranger
has, so p is too large rather than too small for it. This is no theorem, so `Verified.false_alarms` measures it.

Shapes: n texts, k ancestors, b bundles of texts of one model, m strangers. scipy is imported inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from natfp_bench.base.records import Record

from . import per_text
from .discrimination import auroc
from .intervals import FEWEST_UNITS, Floats, Interval, Ints, fold_interval, scipy_quantile, wilson_interval

ALPHA = 0.05
"""Level of the p-values whose power is stated."""

RATES = (0.05, 0.01)
"""False-positive rates at which the share of accepted true pairs is stated."""

SIZES = (1, 10, 100)
"""Numbers of texts of one model that are judged together."""


def support(proba: Floats) -> Floats:
    """Log of each class's probability over the mean of the others', in nats: (n, k); bounded, as all log scores are."""
    mixed = per_text.mixed(proba)
    return np.asarray(np.log(mixed) - np.log((1 - mixed) / (mixed.shape[1] - 1)))


@dataclass(frozen=True)
class Bundles:
    """Bundles of texts: mean support of each ancestor (b, k), the model that wrote it (b,), and that model's ancestor.

    truth: (b,) index of the ancestor, -1 for a stranger.
    """

    support: Floats
    model: Ints
    truth: Ints

    @staticmethod
    def of(proba: Floats, model: Ints, truth: Ints, size: int) -> Bundles:
        """Cut the texts of each model into bundles, one after another; what is left over is not used.

        proba: (n, k); model, truth: (n,) of each text.
        """
        each, found = support(proba), []
        for number in np.unique(model):
            rows = np.flatnonzero(model == number)
            found.append(rows[: len(rows) // size * size].reshape(-1, size))
        drawn = np.concatenate(found)
        return Bundles(each[drawn].mean(axis=1), model[drawn[:, 0]], truth[drawn[:, 0]])

    @property
    def known(self) -> Bundles:
        """Those of models whose ancestor is one of the k."""
        return self._take(np.flatnonzero(self.truth >= 0))

    @property
    def strangers(self) -> Bundles:
        """Those of strangers."""
        return self._take(np.flatnonzero(self.truth < 0))

    @property
    def firsts(self) -> Bundles:
        """The first bundle of each model."""
        return self._take(np.unique(self.model, return_index=True)[1].astype(np.int64))

    @property
    def true_pairs(self) -> Floats:
        """Support of each bundle's own ancestor: (b,); for known ones."""
        own: Floats = np.take_along_axis(self.support, self.truth[:, None], axis=1)[:, 0]
        return own

    @property
    def false_pairs(self) -> Floats:
        """Support of all other ancestors: (b, k - 1), for strangers (b, k)."""
        own = np.arange(self.support.shape[1]) == self.truth[:, None]
        other: Floats = self.support[~own].reshape(len(self.truth), -1)
        return other

    def _take(self, rows: Ints) -> Bundles:
        return Bundles(self.support[rows], self.model[rows], self.truth[rows])


def descent_p(asked: Floats, strangers: Floats) -> tuple[Floats, Floats]:
    """p-values of "the texts are of no descendant of this ancestor", for each bundle and ancestor: twice (b, k).

    asked: support (b, k); strangers: (m, k), one bundle of as many texts of each. The first p is about one ancestor
    that was named beforehand. The second is adjusted for looking at all: it counts the strangers whose largest support
    reaches the ancestor's (single-step maxT: Westfall and Young, 1993). If the texts are a stranger's, any of the
    second is at most a with a probability of at most a. Holm's correction would need k times as many strangers.
    """
    m = len(strangers)
    most = np.sort(strangers.max(axis=1, initial=-np.inf))
    each = [m - np.searchsorted(np.sort(column), asked[:, at], side="left") for at, column in enumerate(strangers.T)]
    largest = m - np.searchsorted(most, asked, side="left")
    return (1 + np.stack(each, axis=1)) / (1 + m), (1 + largest) / (1 + m)


class Against(Record):
    """How well true pairs are told from false pairs with `models` models of one kind.

    tpr: share of true pairs that are accepted if at most this share of false pairs is. A threshold for a share of a
    needs 1/a - 1 models or more that wrote the texts of false pairs, else it is None.
    """

    models: int
    auroc: Interval
    tpr_at_5_percent_fpr: Interval | None
    tpr_at_1_percent_fpr: Interval | None


class Verified(Record):
    """How well one attributor verifies descent from `size` texts of one model, none of which it has met.

    others: against models that descend from another known ancestor. strangers: against those that descend from none.
    recognised: share of bundles whose own ancestor has an adjusted p of at most 0.05. false_alarms: share of the same
    bundles of which another ancestor has. Both are None below 19 strangers, since no p is then as small.
    """

    attributor: str
    size: int
    others: Against
    strangers: Against | None = None
    recognised: Interval | None = None
    false_alarms: Interval | None = None


class Verification(Record):
    """Pairs of an ancestor and a model that is or is not its descendant: how well texts tell which.

    descendants: models that attributors are tested on, each by the fit that has not met its replicate. strangers:
    models of ancestors of their own, each with one.
    """

    ancestors: int
    descendants: int
    strangers: int
    found: tuple[Verified, ...]


def verified(attributor: str, folds: Sequence[tuple[Floats, Ints, Ints]], size: int) -> Verified:
    """How well an attributor verifies descent; folds: probabilities, models and truth of each fit (`Bundles.of`).

    Each fold has models of its own, one or more of each ancestor, and the strangers of all folds are the same. Units
    are models: figures of folds, each of which holds out one model of every ancestor, are averaged, with the interval
    of `fold_interval`. An AUROC against strangers also varies with them, which is added (`_over_both`).
    """
    cut = [Bundles.of(*fold, size) for fold in folds]
    known, strange = [one.known for one in cut], [one.strangers for one in cut]
    true, false = [one.true_pairs for one in known], [one.false_pairs.ravel() for one in known]
    models = sum(len(np.unique(one.model)) for one in known)
    every = np.concatenate(false)
    others = Against(
        models=models,
        auroc=_possible(fold_interval([_auroc(a, b) for a, b in zip(true, false, strict=True)])),
        **_accepted(true, [every] * len(true), models, models),
    )
    if not (m := len(np.unique(strange[0].model))):
        return Verified(attributor=attributor, size=size, others=others)
    strangers = Against(
        models=m,
        auroc=_over_both(true, strange),
        **_accepted(true, [one.false_pairs.ravel() for one in strange], m, models),
    )
    found = Verified(attributor=attributor, size=size, others=others, strangers=strangers)
    return found.model_copy(update=_at_alpha(known, strange)) if 1 / (1 + m) <= ALPHA else found


def _auroc(positive: Floats, negative: Floats) -> float:
    return auroc(np.sort(positive), np.sort(negative))


def _accepted(
    true: Sequence[Floats], false: Sequence[Floats], impostors: int, models: int
) -> dict[str, Interval | None]:
    """Shares of true pairs above the lowest threshold that lets in at most a share of false pairs, fold by fold.

    impostors, models: how many models wrote the texts of the false pairs, and of the true ones.
    """
    found: dict[str, Interval | None] = {}
    for rate in RATES:
        name = f"tpr_at_{rate * 100:.0f}_percent_fpr"
        if impostors < round(1 / rate) - 1:
            found[name] = None
            continue
        # In floating point, 0.01 * 2900 is slightly below 29.
        refused = [np.sort(one)[::-1][math.floor(rate * len(one) + 1e-9)] for one in false]
        found[name] = _share([float((one > least).mean()) for one, least in zip(true, refused, strict=True)], models)
    return found


def _share(folds: Sequence[float], models: int) -> Interval:
    """Mean share over folds; if it is 0 or 1 in all, they show no spread, and the interval is Wilson's over models."""
    found = fold_interval(folds)
    return wilson_interval(found.value, "models", models) if found.value in (0.0, 1.0) else _possible(found)


def _possible(found: Interval) -> Interval:
    """Cut an interval to what a share or an AUROC can be; it contains the truth as often as before."""
    if found.low is None or found.high is None:
        return found
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(1.0, found.high)})


def _over_both(true: Sequence[Floats], strange: Sequence[Bundles]) -> Interval:
    """AUROC against strangers, whose interval is about other descendants and about other strangers.

    The errors of both samples add, as in DeLong, DeLong and Clarke-Pearson (1988): the fold interval's, and that of the
    mean over strangers of the AUROC against each.
    """
    numbers = np.unique(strange[0].model)
    each = np.array(
        [
            [_auroc(one, of.false_pairs[of.model == number].ravel()) for number in numbers]
            for one, of in zip(true, strange, strict=True)
        ]
    )
    found, m = fold_interval(each.mean(axis=1)), len(numbers)
    if found.low is None or m < FEWEST_UNITS:
        return found.model_copy(update={"low": None, "high": None, "method": "none"})
    over_strangers = scipy_quantile(m - 1) * float(each.mean(axis=0).std(ddof=1)) / math.sqrt(m)
    half = math.hypot(found.value - found.low, over_strangers)
    low, high = found.value - half, found.value + half
    return _possible(
        found.model_copy(update={"low": low, "high": high, "method": "cross-fitted t, and t over strangers"})
    )


def _at_alpha(known: Sequence[Bundles], strange: Sequence[Bundles]) -> dict[str, Interval]:
    """Shares of bundles whose own ancestor, or another one, has an adjusted p of at most ALPHA."""
    recognised, alarms = [], []
    for bundles, strangers in zip(known, strange, strict=True):
        small = descent_p(bundles.support, strangers.firsts.support)[1] <= ALPHA
        own = np.arange(small.shape[1]) == bundles.truth[:, None]
        recognised.append(float((small & own).any(axis=1).mean()))
        alarms.append(float((small & ~own).any(axis=1).mean()))
    models = sum(len(np.unique(bundles.model)) for bundles in known)
    return {"recognised": _share(recognised, models), "false_alarms": _share(alarms, models)}
