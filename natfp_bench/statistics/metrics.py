"""All metrics of a result, one function for each.

To add one, write a function here, mark it with `@metric`, and add its name to `METRICS` in `pipeline.result`. The
function gets the answers and returns a `Statistic`, which is resampled for its interval, or a plain number, or None if
the metric does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import discrimination, per_text
from .intervals import Floats, Interval, Ints, exact_mean, percentile_interval, resampled_sums, wilson_interval

FEW = 10
"""With fewer hits or misses, a bootstrap interval of an accuracy is too narrow, and Wilson's interval is used."""


@dataclass(frozen=True)
class Answered:
    """Answers of an attributor to n texts: proba (n, k), truth (n,).

    order: columns in the order of the levels, empty if the classes have no order.
    """

    proba: Floats
    truth: Ints
    order: Sequence[int] = ()

    @property
    def chance(self) -> float:
        """Accuracy of random guesses."""
        return 1.0 / float(self.proba.shape[1])

    @property
    def ordered(self) -> tuple[Floats, Ints]:
        """Probabilities and truth in the order of the levels."""
        return self.proba[:, self.order], np.argsort(self.order)[self.truth]


@dataclass(frozen=True)
class Statistic:
    """A function of sums over texts.

    columns: (c, n), what each text adds to each of c sums. combine: maps sums (c, ...) and numbers of texts (...) to
    values (...). value: for all texts, summed exactly. plain: for all texts, summed in floating point; used for a fold,
    because only means over folds are reported. share: it is nearly a share of the texts, so Wilson's interval applies
    if hits or misses are few. scale: an increasing function, applied to the value and to the interval.
    """

    columns: Floats
    combine: Callable[[Floats, Floats], Floats]
    value: float
    plain: float
    share: bool = False
    scale: Callable[[float], float] = float


Metric = Callable[[Answered], Statistic | float | None]

METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order of this file."""


def metric(function: Metric) -> Metric:
    """Register a function as a metric of results."""
    METRICS[function.__name__] = function
    return function


def mean_of(values: Floats, *, share: bool = False, scale: Callable[[float], float] = float) -> Statistic:
    """Mean over texts of values (n,)."""
    return Statistic(values[None], lambda sums, n: sums[0] / n, exact_mean(values), float(values.mean()), share, scale)


@metric
def accuracy(of: Answered) -> Statistic:
    """Share of texts whose most probable class is the true one, ties shared."""
    return mean_of(per_text.credits(of.proba, of.truth), share=True)


@metric
def identifiability(of: Answered) -> Statistic:
    """Chance-normalised accuracy."""
    credit = per_text.credits(of.proba, of.truth)
    return mean_of(credit, share=True, scale=lambda value: per_text.identifiability(value, of.chance))


@metric
def bits(of: Answered) -> Statistic:
    """Information gain over chance, per text."""
    return mean_of(per_text.bits(of.proba, of.truth))


@metric
def macro_f1(of: Answered) -> Statistic:
    """Unweighted mean of the F1 of the classes; nearly an accuracy, since classes are balanced."""
    shares, present = per_text.guess_shares(of.proba), np.eye(of.proba.shape[1])[of.truth]
    columns = np.vstack([(shares * present).T, shares.T, present.T])

    def combine(sums: Floats, _: Floats) -> Floats:
        return per_text.mean_f1(*(part.T for part in np.split(sums, 3)))

    value = float(per_text.macro_f1(per_text.confusion(of.proba, of.truth)))
    return Statistic(columns, combine, value, value, share=True)


@metric
def log_loss(of: Answered) -> Statistic:
    """Mean negative log-probability of the true class, in nats."""
    return mean_of(per_text.log_loss(of.proba, of.truth))


@metric
def pairwise_auroc(of: Answered) -> float:
    """AUROC of every pair of classes, averaged."""
    return discrimination.pairwise_auroc(of.proba, of.truth)


@metric
def calibration_error(of: Answered) -> float | None:
    """Distance between the probabilities of the guesses and the share of them that is right."""
    return discrimination.calibration_error(of.proba, of.truth)


@metric
def tpr_at_1_percent_fpr(of: Answered) -> float | None:
    """Share of true claims that are accepted if one false claim in a hundred is."""
    return discrimination.tpr_at_fpr(of.proba, of.truth)


@metric
def level_error(of: Answered) -> float | None:
    """Mean distance of guess and truth, in levels."""
    return discrimination.level_error(*of.ordered) if len(of.order) else None


@metric
def kendall_tau(of: Answered) -> float | None:
    """Rank correlation of expected and true level."""
    return discrimination.kendall_tau(*of.ordered) if len(of.order) else None


def fold_values(of: Answered) -> dict[str, float]:
    """All metrics of one fold that apply."""
    found = {name: function(of) for name, function in METRICS.items()}
    values = {name: one.scale(one.plain) if isinstance(one, Statistic) else one for name, one in found.items()}
    return {name: value for name, value in values.items() if value is not None}


def score(proba: Floats, truth: Ints, prompts: Ints, seed: int) -> dict[str, Interval]:
    """Accuracy, identifiability, bits, macro F1 and log loss with 95% intervals, as in `score_all`.

    proba: (n, k), rows sum to one; truth: (n,) class indices; prompts: (n,) ids.
    """
    answered = Answered(np.asarray(proba, dtype=np.float64), np.asarray(truth))
    return score_all(answered, prompts, seed, ("accuracy", "identifiability", "bits", "macro_f1", "log_loss"))


def score_all(of: Answered, prompts: Ints, seed: int, names: Sequence[str] | None = None) -> dict[str, Interval]:
    """All metrics that apply, with 95% intervals over prompts; names: which ones, None for all.

    The intervals are expanded percentile bootstraps over prompts (Efron 1979; Field and Welsh 2007 for clusters;
    Hesterberg 2015). For shares of texts, Wilson's interval is used instead if fewer than 10 prompts have a hit or
    fewer than 10 have a miss. Its n is the number of prompts, not of texts: however the texts of a prompt depend on
    each other, their mean credit has a variance of at most p(1-p), so the interval is rather too wide than too narrow
    (`units` says `texts` if both numbers agree). Raises ValueError on no texts, one class, or shapes that disagree.
    """
    n, prompts = len(of.proba), np.asarray(prompts)
    if of.proba.ndim != 2 or of.proba.shape[1] < 2 or not n or not n == len(of.truth) == len(prompts):
        shapes = f"proba {of.proba.shape}, truth {of.truth.shape}, prompts {prompts.shape}"
        raise ValueError(f"shapes that make no score: {shapes}")
    found = {name: METRICS[name](of) for name in names or METRICS}
    statistics = {name: one for name, one in found.items() if isinstance(one, Statistic)}
    columns = np.vstack([np.ones(n), *(one.columns for one in statistics.values())])
    sums, n_units = resampled_sums(columns, prompts, seed)
    credit = per_text.credits(of.proba, of.truth)
    right, wrong = (len(np.unique(prompts[some])) for some in (credit > 0, credit < 1))
    few = min(right, wrong) < FEW and bool(np.ptp(credit) > 0 or credit[0] in (0.0, 1.0))
    intervals, at = {}, 1
    for name, one in statistics.items():
        mine = sums[at : at + len(one.columns)]
        at += len(one.columns)
        if one.share and few:
            made = wilson_interval(one.value, "texts" if n_units == n else "prompts", n_units)
        else:
            made = percentile_interval(one.value, one.combine(mine, sums[0]), "prompts", n_units)
        intervals[name] = _scaled(made, one.scale)
    plain = {
        name: Interval(value=one, low=None, high=None, method="none", units="prompts", n_units=n_units)
        for name, one in found.items()
        if isinstance(one, float)
    }
    return {**intervals, **plain}


def _scaled(made: Interval, scale: Callable[[float], float]) -> Interval:
    """Apply an increasing function to an interval; it keeps its coverage."""
    ends = {end: None if at is None else scale(at) for end, at in (("low", made.low), ("high", made.high))}
    return made.model_copy(update={"value": scale(made.value), **ends})
