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

from . import streams

Array = NDArray[np.float64]

STRENGTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
"""Inverse penalties that are tried, scikit-learn's `C`; the small ones make a classifier that knows when it is lost."""

FOLDS = 4
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
    Returns weights in the shape of `start`, at the minimum of mean loss + |w|^2 / (2 C n), found by L-BFGS.
    """
    n, d = x.shape
    # scikit-learn's solver stops by the largest entry of the gradient, which shrinks as features get rarer: with
    # 10^5 n-grams its tol=1e-3 stops before the first step. So progress is the criterion here, over several steps,
    # because one bad line search from a warm start says nothing.
    xt = x.T.tocsr()
    truth = np.zeros((n, k))
    truth[np.arange(n), y] = 1.0
    penalty = 1 / (strength * n)

    def loss_and_gradient(flat: Array) -> tuple[float, Array]:
        w = flat.reshape(d + 1, k)
        log_p = log_softmax(_scores(x, w), axis=1)
        loss = -float((log_p * truth).sum()) / n + penalty / 2 * float((w[:d] ** 2).sum())
        residual = (np.exp(log_p) - truth) / n
        gradient = np.empty_like(w)
        gradient[:d] = xt @ residual + penalty * w[:d]
        gradient[d] = residual.sum(axis=0)
        return loss, gradient.ravel()

    seen: list[float] = []

    def stop_when_flat(intermediate_result: OptimizeResult) -> None:
        seen.append(intermediate_result.fun)
        if len(seen) > 5 and seen[-6] - seen[-1] < 3e-5 * seen[-1]:
            raise StopIteration

    result = minimize(
        loss_and_gradient,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        callback=stop_when_flat,
        options={"maxiter": 500, "gtol": 1e-10, "ftol": 1e-12},
    )
    return np.asarray(result.x, dtype=np.float64).reshape(d + 1, k)


def _scores(x: csr_matrix, weights: Array) -> Array:
    return np.asarray(x @ weights[:-1] + weights[-1])
