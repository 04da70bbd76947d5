"""Every figure that a result states of an attributor's answers: one function for each.

To add one, write a function here, mark it with `@metric`, and add its name to `MetricName` in `pipeline.result`. It
gets the answers and returns a `Statistic`, which is resampled for its interval, a plain number, or None if it does not
apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import discrimination, per_text
from .intervals import Floats, Interval, Ints, exact_mean, percentile_interval, resampled_sums, wilson_interval

FEW = 10
"""Below this many hits or misses the percentile bootstrap of an accuracy under-covers; Wilson takes over."""


@dataclass(frozen=True)
class Answered:
    """What an attributor said of n texts: proba (n, k), truth (n,).

    order: columns in the order of the levels, empty if the classes have no order.
    """

    proba: Floats
    truth: Ints
    order: Sequence[int] = ()

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1.0 / float(self.proba.shape[1])

    @property
    def ordered(self) -> tuple[Floats, Ints]:
        """Probabilities and truth in the order of the levels."""
        return self.proba[:, self.order], np.argsort(self.order)[self.truth]


@dataclass(frozen=True)
class Statistic:
    """A function of sums over texts.

    columns: (c, n), what is summed. combine: sums (c, ...) and numbers of texts (...) to values (...). value: of all
    texts, summed exactly. plain: the same in floating point, for a fold, of which only the mean over folds counts.
    share: it is nearly a share of the texts, so that Wilson's interval serves if hits or misses are few. scale:
    increasing map of values and interval.
    """

    columns: Floats
    combine: Callable[[Floats, Floats], Floats]
    value: float
    plain: float
    share: bool = False
    scale: Callable[[float], float] = float


Metric = Callable[[Answered], Statistic | float | None]

METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order in which they stand here."""


def metric(function: Metric) -> Metric:
    """Make a function a metric that results state."""
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
    """How far the probabilities of the guesses are from the share that is right."""
    return discrimination.calibration_error(of.proba, of.truth)


@metric
def tpr_at_1_percent_fpr(of: Answered) -> float | None:
    """Share of true claims accepted if one false claim in a hundred is."""
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
    """All metrics of one fold, as far as they apply."""
    found = {name: function(of) for name, function in METRICS.items()}
    values = {name: one.scale(one.plain) if isinstance(one, Statistic) else one for name, one in found.items()}
    return {name: value for name, value in values.items() if value is not None}


def score(proba: Floats, truth: Ints, prompts: Ints, seed: int) -> dict[str, Interval]:
    """Accuracy, identifiability, bits, macro F1 and log loss with 95% intervals, as `score_all` has them.

    proba: (n, k), rows sum to one; truth: (n,) class indices; prompts: (n,) ids.
    """
    answered = Answered(np.asarray(proba, dtype=np.float64), np.asarray(truth))
    return score_all(answered, prompts, seed, ("accuracy", "identifiability", "bits", "macro_f1", "log_loss"))


def score_all(of: Answered, prompts: Ints, seed: int, names: Sequence[str] | None = None) -> dict[str, Interval]:
    """Metrics with 95% intervals over prompts, as far as they apply; names: which ones, None for all.

    The intervals are expanded percentile bootstraps over prompts (Efron 1979; Field and Welsh 2007 for clusters;
    Hesterberg 2015). For shares of texts, Wilson's interval takes over if fewer than 10 prompts hold a hit or fewer
    than 10 hold a miss. Its n is then the number of prompts, not of texts: the mean credit of a prompt has variance at
    most p(1-p) however its texts depend on each other, so the interval errs on the wide side (`units` says `texts` if
    the two agree). Raises ValueError on no texts, one class, or shapes that disagree.
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
    """Carry an interval over by an increasing map, which keeps its coverage."""
    ends = {end: None if at is None else scale(at) for end, at in (("low", made.low), ("high", made.high))}
    return made.model_copy(update={"value": scale(made.value), **ends})
