"""Linear text classification for authors of baselines: any vectoriser, then multinomial logistic regression.

The strength of the penalty matters more than the features do, and it differs between factors that show plainly in
the text and factors that hardly show. So it is chosen on held-out training texts, by log loss, whole prompts at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from . import streams

Array = NDArray[np.float64]

STRENGTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
"""Inverse penalties that are tried, scikit-learn's `C`; the small ones make a classifier that knows when it is lost."""

FOLDS = 4

PRECISION = 1e-5
"""Relative gain of a Newton step below which the next one, gaining far less again, is not taken."""

HELD_OUT = 2000
"""Texts held out in all: a large set needs one fold of four to choose a penalty, a small one needs all of them."""


class Vectoriser(Protocol):
    """scikit-learn's transformer contract from raw strings to a matrix (texts, features), dense or sparse."""

    def fit_transform(self, raw_documents: Sequence[str]) -> Any:
        """Learn the features from the texts, and count them."""
        ...

    def transform(self, raw_documents: Sequence[str]) -> Any:
        """Count the features that were learnt."""
        ...


class TextClassifier:
    """An attributor: a vectoriser, then logistic regression with its penalty chosen inside training.

    The vectoriser is fitted once, on all training texts: it sees no labels. Raises what the vectoriser raises.
    """

    classes_: NDArray[Any]
    C_: float

    def __init__(self, vectoriser: Vectoriser, *, seed: int = 0) -> None:
        self.vectoriser = vectoriser
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; texts of one group are never on both sides of the inner split."""
        self.classes_, y = np.unique(np.asarray(labels), return_inverse=True)
        x = csr_matrix(self.vectoriser.fit_transform(texts), dtype=np.float64)
        # Long dot products are summed in another order by more threads; the sparse products use but one anyway.
        with threadpool_limits(1):
            self.C_, start = self._choose(x, y, np.arange(len(texts)) if groups is None else np.asarray(groups))
            self._weights = fit_softmax(x, y, len(self.classes_), self.C_, start)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Array:
        """Probability of each class: (texts, classes) float64."""
        if not len(texts):
            return np.empty((0, len(self.classes_)))
        x = csr_matrix(self.vectoriser.transform(texts), dtype=np.float64)
        return np.asarray(softmax(_scores(x, self._weights), axis=1))

    def _choose(self, x: csr_matrix, y: NDArray[np.int64], groups: NDArray[Any]) -> tuple[float, Array]:
        k = len(self.classes_)
        fold = folds(groups, self.seed)
        if len(np.unique(fold)) < 2:  # one prompt: nothing can be held out
            return 1.0, np.zeros((x.shape[1] + 1, k))
        used = range(min(FOLDS, int(fold.max()) + 1, math.ceil(HELD_OUT * FOLDS / len(y))))
        splits = [(x[fold != i], y[fold != i], x[fold == i], y[fold == i]) for i in used]
        weights = [np.zeros((x.shape[1] + 1, k)) for _ in used]
        best, chosen, start = math.inf, STRENGTHS[0], weights[0]
        # From strong penalty to weak: each solution is the next one's start, and past the best one none is better.
        for strength in STRENGTHS:
            weights = [fit_softmax(xs, ys, k, strength, w) for (xs, ys, _, _), w in zip(splits, weights, strict=True)]
            loss = sum(
                -float(log_softmax(_scores(xh, w), axis=1)[np.arange(len(yh)), yh].sum())
                for (_, _, xh, yh), w in zip(splits, weights, strict=True)
            )
            if loss > best:
                break
            best, chosen, start = loss, strength, weights[0]
        return chosen, start


def folds(groups: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Deal whole groups to at most FOLDS folds at random, as evenly as can be: (n,) fold numbers."""
    names, number = np.unique(groups, return_inverse=True)
    return np.asarray(streams.permutation(len(names), "text_classifier", "folds", seed)[number] % FOLDS)


def fit_softmax(x: csr_matrix, y: NDArray[np.int64], k: int, strength: float, start: Array) -> Array:
    """Fit multinomial logistic regression with a Gaussian prior (L2) on all weights but the intercepts.

    x: (n, d) float64; y: (n,) int64 below k; strength: scikit-learn's C; start: (d + 1, k), intercepts last.
    Returns weights in the shape of `start`, at the minimum of mean loss + |w|^2 / (2 C n).
    """
    # Truncated Newton (Lin, Weng & Keerthi, 2008): a step costs some tens of products with x, and six or so steps
    # arrive, where L-BFGS takes six times as long. scikit-learn's solver also stops by the largest entry of the
    # gradient, which shrinks as features get rarer: with 10^5 n-grams its tol=1e-3 stops before the first step.
    n, d = x.shape
    truth = np.zeros((n, k))
    truth[np.arange(n), y] = 1.0
    penalty = 1 / (strength * n)

    def pull_back(residual: Array, weights: Array) -> Array:
        return np.vstack([x.T @ residual + penalty * weights[:d], residual.sum(axis=0)]).ravel()

    def probabilities(weights: Array) -> Array:
        return np.asarray(softmax(_scores(x, weights), axis=1))

    def loss_and_gradient(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(d + 1, k)
        log_p = log_softmax(_scores(x, weights), axis=1)
        loss = -float((log_p * truth).sum()) / n + penalty / 2 * float((weights[:d] ** 2).sum())
        return loss, pull_back((np.exp(log_p) - truth) / n, weights)

    at, p = start.ravel().copy(), probabilities(start)

    def hessian_product(flat: Array, direction: Array) -> Array:
        nonlocal at, p
        if not np.array_equal(flat, at):  # one point is asked for many directions
            at, p = flat.copy(), probabilities(flat.reshape(d + 1, k))
        step = direction.reshape(d + 1, k)
        change = _scores(x, step)
        return pull_back(p * (change - (p * change).sum(axis=1, keepdims=True)) / n, step)

    last = math.inf

    def stop_when_flat(intermediate_result: OptimizeResult) -> None:
        nonlocal last
        gained, last = last - intermediate_result.fun, intermediate_result.fun
        if gained < PRECISION * last:
            raise StopIteration

    result = minimize(
        loss_and_gradient,
        start.ravel(),
        method="Newton-CG",
        jac=True,
        hessp=hessian_product,
        callback=stop_when_flat,
        options={"maxiter": 100},
    )
    return np.asarray(result.x, dtype=np.float64).reshape(d + 1, k)


def _scores(x: csr_matrix, weights: Array) -> Array:
    return np.asarray(x @ weights[:-1] + weights[-1])
