"""Scores of single texts: credit, bits and log loss; and the confusion of classes.

Shapes: `proba` (n, k) float, rows sum to one; `truth` (n,) int, class indices. Classes are balanced by construction, so
chance is 1/k everywhere. `metrics` turns these scores into figures with intervals.
"""

from __future__ import annotations

import numpy as np

from .intervals import Floats, Ints

UNIFORM_SHARE = 0.001
"""Weight of the uniform distribution in log scores, so that one overconfident zero does not cost infinity."""


def credits(proba: Floats, truth: Ints) -> Floats:
    """Credit of each text, (n,) float64: 1/m if its true class is among the m tied maxima of its row, else 0.

    Ties are exact. Because credit is shared, a constant answer scores exactly chance for any order of the classes.
    """
    return of_truth(guess_shares(proba), truth)


def confusion(proba: Floats, truth: Ints) -> Floats:
    """Confusion matrix (k, k) float64: rows are true classes, columns guesses, ties shared equally."""
    shares = guess_shares(proba)
    matrix = np.zeros((shares.shape[1], shares.shape[1]))
    np.add.at(matrix, truth, shares)
    return matrix


def identifiability(accuracy: float, chance: float) -> float:
    """Chance-normalised accuracy: 0 at chance, 1 for perfect attribution, negative below chance."""
    return (accuracy - chance) / (1.0 - chance)


def macro_f1(confusion: Floats) -> Floats:
    """Unweighted mean over classes of F1: (..., k, k) confusion matrices to (...) float64.

    A class that is neither present nor guessed counts as 0, as with scikit-learn's `zero_division=0` and all labels.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return mean_f1(hits, guessed=confusion.sum(-2), present=confusion.sum(-1))


def mixed(proba: Floats) -> Floats:
    """Mix with the uniform distribution, (n, k): 0.999 p + 0.001 / k. A uniform row stays the same bit for bit."""
    chance = 1.0 / np.shape(proba)[1]
    # Computed in units of 1/k, and by division: fl(1/49) * 49 is not 1, but fl(1/49) / fl(1/49) is 1, for every k.
    relative = np.asarray(proba, dtype=np.float64) / chance
    return np.asarray(((1.0 - UNIFORM_SHARE) * relative + UNIFORM_SHARE) * chance)


def bits(proba: Floats, truth: Ints) -> Floats:
    """Information gain of each text over chance, (n,): log2(k * mixed probability of its class).

    Its mean is a lower bound of the mutual information of text and class. It is exactly 0 for a uniform row, at most
    log2 k, and negative if the attributor is confident and wrong.
    """
    return np.asarray(np.log2(of_truth(mixed(proba), truth) / (1.0 / np.shape(proba)[1])))


def log_loss(proba: Floats, truth: Ints) -> Floats:
    """Negative log of the mixed probability of each text's class, (n,) in nats."""
    return np.asarray(-np.log(of_truth(mixed(proba), truth)))


def guess_shares(proba: Floats) -> Floats:
    """Each row's guess as shares (n, k): 1/m on its m exactly tied maxima, 0 elsewhere."""
    ties = np.asarray(proba) == np.max(proba, axis=1, keepdims=True)
    return np.asarray(ties / ties.sum(axis=1, keepdims=True), dtype=np.float64)


def of_truth(values: Floats, truth: Ints) -> Floats:
    """Value of each text's true class, (n,), from the values of all classes (n, k)."""
    return np.take_along_axis(np.asarray(values), np.asarray(truth)[:, None], axis=1)[:, 0]


def mean_f1(hits: Floats, guessed: Floats, present: Floats) -> Floats:
    """Mean over classes of F1, from the numbers of hits, guesses and texts of each class: (..., k) each to (...)."""
    size = guessed + present
    return np.asarray(np.divide(2 * hits, size, out=np.zeros_like(size), where=size > 0).mean(-1))
