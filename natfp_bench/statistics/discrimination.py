"""How well an attributor ranks, verifies and orders: what accuracy and bits do not show.

Accuracy looks at the largest probability only, and bits are low for any badly scaled attributor. Each measure here
looks at one aspect: ranking (AUROC), scale (calibration), verification at few false alarms, and the distance between
guess and truth if the levels of the factor have an order.

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
"""Fewest impostor trials: with fewer, a false-positive rate of 1% depends on less than ten of them."""

LEAST_BITS = 0.05
"""Lowest lower bound of the ceiling's bits for which a share of them means anything."""


def pairwise_auroc(proba: Floats, truth: Ints) -> float:
    """Hand and Till's M (2001, equation 7): the AUROC of every pair of classes, averaged; chance is one half.

    For each ordered pair (i, j) it is the probability that a text of i has a higher probability of i than a text of j;
    ties count one half. It depends neither on the balance of the classes nor on any increasing rescaling of a column.
    For two classes it is the ordinary AUROC. Raises ValueError on a class without texts: its pairs have no AUROC.
    """
    proba, truth = np.asarray(proba, dtype=np.float64), np.asarray(truth)
    k = proba.shape[1]
    if len(absent := np.flatnonzero(np.bincount(truth, minlength=k) == 0)):
        raise ValueError(f"class {absent[0]} has no texts")
    columns = [[np.sort(proba[truth == j, i]) for j in range(k)] for i in range(k)]
    return statistics.fmean(auroc(columns[i][i], columns[i][j]) for i, j in itertools.permutations(range(k), 2))


def calibration_error(proba: Floats, truth: Ints, bins: int = 15) -> float | None:
    """Debiased L2 calibration error of the guesses' probabilities; 0 if they are right as often as they say.

    Kumar, Liang and Ma (2019, definition 4.1), top-label: the root of the mean over texts of the squared gap between
    the confidence and the credit of their bin, minus the variance that the gap has by chance. This variance is y (1 -
    y) / (n_b - 1) for 0/1 credits (the sample variance of the credits over n_b, which is right for shared credits too).
    Without the correction, even a perfect attributor would not get 0. With it, the sum under the root may be negative
    and then counts as 0. A gap that changes sign within a bin is not seen, so the estimate is a lower bound.

    Bins have equally many texts; texts of equal confidence share a bin, because any order among them would be that of
    the rows. A bin of one text does not show its noise and adds nothing. None for fewer than two texts per bin.
    """
    confidence, credit = np.max(proba, axis=1), per_text.credits(proba, truth)
    n = len(credit)
    if n < 2 * bins:
        return None
    bin_of = np.searchsorted(np.sort(confidence), confidence, side="left") * bins // n
    size = np.bincount(bin_of, minlength=bins)
    # Empty bins and bins of one text have no squares; they are divided by one.
    share = np.bincount(bin_of, credit, minlength=bins) / np.maximum(size, 1)
    gap = np.bincount(bin_of, confidence - credit, minlength=bins) / np.maximum(size, 1)
    squares = np.bincount(bin_of, (credit - share[bin_of]) ** 2, minlength=bins)
    noise = squares / np.maximum(size * (size - 1), 1)
    counted = np.where(size > 1, size, 0)
    return math.sqrt(max(0.0, math.fsum(counted * (gap**2 - noise)) / n))


def tpr_at_fpr(proba: Floats, truth: Ints, fpr: float = 0.01) -> float | None:
    """Verification: share of true claims that are accepted if at most a share `fpr` of false claims is.

    Every class claims every text: n genuine trials and n (k - 1) impostor trials, scored by proba[:, class] and
    accepted above one common threshold. It is the best point of the pooled ROC with a false-positive rate of at most
    `fpr`; trials of equal score are accepted or refused together. The threshold is chosen on the same trials, as for
    any ROC. None with fewer than 1,000 impostor trials. Raises ValueError unless 0 <= fpr < 1.
    """
    if not 0 <= fpr < 1:
        raise ValueError(f"a false-positive rate is in [0, 1), not {fpr}")
    proba = np.asarray(proba, dtype=np.float64)
    genuine = np.eye(proba.shape[1], dtype=bool)[np.asarray(truth)]
    impostors = np.sort(proba[~genuine])[::-1]
    if len(impostors) < FEWEST_NEGATIVES:
        return None
    # The largest score that must be refused; in floating point, 0.01 * 2900 is slightly below 29.
    refused = impostors[math.floor(fpr * len(impostors) + 1e-9)]
    return float(np.mean(proba[genuine] > refused))


def level_error(proba: Floats, truth: Ints) -> float:
    """Mean distance of guess and truth in levels, for columns in the factor's order.

    The guess is the most probable level, ties shared; the result is the average of |guess - truth|. Random guesses
    among k levels give (k^2 - 1) / (3 k) for balanced classes.
    """
    matrix = per_text.confusion(proba, truth)
    levels = np.arange(len(matrix))
    return math.fsum((matrix * np.abs(levels[:, None] - levels)).ravel()) / len(truth)


def kendall_tau(proba: Floats, truth: Ints) -> float | None:
    """Kendall's tau-b (1945) of the expected level, sum of p * index, and the true level, for columns by level.

    It is 1 if the expected level ranks the texts as their levels do, and 0 if there is no relation. Ties in the truth
    lower the maximum below 1 unless the expected level has the same ties. None if the expected or the true level is the
    same for all texts.
    """
    from scipy.stats import kendalltau

    proba = np.asarray(proba, dtype=np.float64)
    # Expected levels that are equal in theory count as tied; a matrix product may round even equal rows differently.
    expected = (proba * np.arange(proba.shape[1])).sum(axis=1).round(12)
    tau = float(kendalltau(expected, np.asarray(truth)).statistic)
    return None if math.isnan(tau) else tau


def extraction(attributor_bits: Interval, ceiling_bits: Interval) -> float | None:
    """Share of the extractable information that an attributor extracts: its bits over the ceiling's bits.

    It is negative if the attributor is worse than chance. None if the ceiling has no interval, or one that reaches down
    to 0.05 bits, because the ratio would be noise.
    """
    if ceiling_bits.low is None or ceiling_bits.low <= LEAST_BITS:
        return None
    return attributor_bits.value / ceiling_bits.value


def auroc(positive: Floats, negative: Floats) -> float:
    """Mann and Whitney's probability (1947) that a positive score exceeds a negative one; both must be sorted."""
    below, reached = (np.searchsorted(negative, positive, side=side) for side in ("left", "right"))
    return float((below + reached).mean()) / (2 * len(negative))
