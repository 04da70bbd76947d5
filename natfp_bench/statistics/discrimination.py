"""How well an attributor ranks, verifies and orders: what accuracy and bits do not say.

Accuracy looks at the largest probability only, and bits punish a badly scaled attributor whatever it knows. The
measures here look at one side each: ranking (AUROC), scale (calibration), verification at few false alarms, and, for
factors whose levels have an order, how far off a guess is.

Shapes as in `metrics`: `proba` (n, k) float, rows sum to one; `truth` (n,) int, class indices. scipy is imported
inside functions.
"""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np

from . import per_text
from .intervals import Floats, Interval, Ints

FEWEST_NEGATIVES = 1_000
"""Below this many impostor trials a false-positive rate of 1% hangs on fewer than ten of them."""

LEAST_BITS = 0.05
"""A ceiling that may lie below this says too little for a share of it to mean anything."""


def pairwise_auroc(proba: Floats, truth: Ints) -> float:
    """Hand and Till's M (2001, equation 7): the AUROC of every pair of classes, averaged; chance is one half.

    For each ordered pair (i, j) it is the probability that a text of i has a higher probability of i than a text of j
    has, ties counting one half. It does not depend on how classes are balanced, nor on any increasing rescaling of a
    column. For two classes it is the ordinary AUROC.
    Raises ValueError on a class without texts: its pairs have no AUROC.
    """
    proba, truth = np.asarray(proba, dtype=np.float64), np.asarray(truth)
    k = proba.shape[1]
    if len(absent := np.flatnonzero(np.bincount(truth, minlength=k) == 0)):
        raise ValueError(f"class {absent[0]} has no texts")
    columns = [[np.sort(proba[truth == j, i]) for j in range(k)] for i in range(k)]
    return statistics.fmean(auroc(columns[i][i], columns[i][j]) for i, j in itertools.permutations(range(k), 2))


def calibration_error(proba: Floats, truth: Ints, bins: int = 15) -> float | None:
    """Debiased L2 calibration error of the guesses' probabilities; 0 where they hit as often as they say.

    Kumar, Liang and Ma (2019, definition 4.1), top-label: the root of the mean over texts of the squared gap between
    confidence and credit of their bin, less the variance that the gap has by chance, y (1 - y) / (n_b - 1) for 0/1
    credits (the sample variance of the credits over n_b, so that shared credits count rightly too). The plain
    estimate is not 0 even for a perfect attributor; this one may be negative before the root, and counts as 0 then.
    A gap that changes sign within a bin goes unseen, so that it bounds the true error from below.

    Bins hold equally many texts; texts of equal confidence share a bin, because any order among them would be that
    of the rows. A bin of one text says nothing of its noise and adds nothing. None for fewer than two texts a bin.
    """
    confidence, credit = np.max(proba, axis=1), per_text.credits(proba, truth)
    n = len(credit)
    if n < 2 * bins:
        return None
    bin_of = np.searchsorted(np.sort(confidence), confidence, side="left") * bins // n
    size = np.bincount(bin_of, minlength=bins)
    # Empty bins and bins of one text are divided by one: they have no squares to divide.
    share = np.bincount(bin_of, credit, minlength=bins) / np.maximum(size, 1)
    gap = np.bincount(bin_of, confidence - credit, minlength=bins) / np.maximum(size, 1)
    squares = np.bincount(bin_of, (credit - share[bin_of]) ** 2, minlength=bins)
    noise = squares / np.maximum(size * (size - 1), 1)
    counted = np.where(size > 1, size, 0)
    return math.sqrt(max(0.0, math.fsum(counted * (gap**2 - noise)) / n))


def tpr_at_fpr(proba: Floats, truth: Ints, fpr: float = 0.01) -> float | None:
    """Share of true claims accepted where at most a share `fpr` of false claims is: verification.

    Every text is claimed by every class in turn: n genuine trials and n (k - 1) impostor trials, scored by
    proba[:, class] and accepted above one threshold for all. It is the best point of the pooled ROC with a
    false-positive rate of at most `fpr`; trials of equal score are accepted or refused together. The threshold is
    chosen on these very trials, as that of any ROC. None with fewer than 1,000 impostor trials.
    Raises ValueError unless 0 <= fpr < 1.
    """
    if not 0 <= fpr < 1:
        raise ValueError(f"a false-positive rate is in [0, 1), not {fpr}")
    proba = np.asarray(proba, dtype=np.float64)
    genuine = np.eye(proba.shape[1], dtype=bool)[np.asarray(truth)]
    impostors = np.sort(proba[~genuine])[::-1]
    if len(impostors) < FEWEST_NEGATIVES:
        return None
    # The largest score that must be refused; 0.01 * 2900 is a hair below 29.
    refused = impostors[math.floor(fpr * len(impostors) + 1e-9)]
    return float(np.mean(proba[genuine] > refused))


def level_error(proba: Floats, truth: Ints) -> float:
    """Mean distance of guess and truth in levels, for columns in the factor's order.

    The guess is the most probable level, ties shared: the average over all (text, guess) of |guess - truth|. A fair
    coin among k levels is off by (k^2 - 1) / (3 k) for balanced classes.
    """
    matrix = per_text.confusion(proba, truth)
    levels = np.arange(len(matrix))
    return math.fsum((matrix * np.abs(levels[:, None] - levels)).ravel()) / len(truth)


def kendall_tau(proba: Floats, truth: Ints) -> float | None:
    """Kendall's tau-b (1945) of expected level, sum of p * index, and true level, for columns in the factor's order.

    1 where the expected level ranks the texts as their levels do, 0 for no relation; ties in the truth lower the
    maximum below 1 unless the expected level has the same ties. None where all texts are expected, or are, at one
    level.
    """
    from scipy.stats import kendalltau

    proba = np.asarray(proba, dtype=np.float64)
    # Expected levels that are equal on paper count as tied; a matrix product may round even equal rows differently.
    expected = (proba * np.arange(proba.shape[1])).sum(axis=1).round(12)
    tau = float(kendalltau(expected, np.asarray(truth)).statistic)
    return None if math.isnan(tau) else tau


def extraction(attributor_bits: Interval, ceiling_bits: Interval) -> float | None:
    """Share of the extractable information that an attributor extracts: its bits over the ceiling's bits.

    Negative where the attributor does worse than chance. None where the ceiling's interval is missing or reaches down
    to 0.05 bits, for the ratio to next to nothing is noise.
    """
    if ceiling_bits.low is None or ceiling_bits.low <= LEAST_BITS:
        return None
    return attributor_bits.value / ceiling_bits.value


def auroc(positive: Floats, negative: Floats) -> float:
    """Mann and Whitney's probability (1947) that a positive score exceeds a negative one; both sorted."""
    below, reached = (np.searchsorted(negative, positive, side=side) for side in ("left", "right"))
    return float((below + reached).mean()) / (2 * len(negative))
