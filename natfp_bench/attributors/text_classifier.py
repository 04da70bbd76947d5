"""Text classification for authors of baselines: logistic regression on any features, and weights for any scores.

The features matter less than the strength of the penalty. The best penalty depends on how plainly a factor shows in
the text, so it is chosen by log loss on held-out training texts. Groups of texts are held out as a whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, softmax
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.multiclass import OneVsRestClassifier
from threadpoolctl import threadpool_limits

from natfp_bench.base import streams

STRENGTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
"""Inverse penalties to try, scikit-learn's `C`; the small ones keep a classifier of hard texts near chance."""

FOLDS = 4

LEARNT = 2000
"""Most training texts for choosing a penalty: more would change the choice by less than one step."""

HELD_OUT = 1000
"""About how many texts are held out over all folds: a large set needs one fold of four, a small one all four."""

TOLERANCE = 0.01
"""LIBLINEAR's stopping tolerance; a tenth of it gives nearly the same answers."""

LEAST = 1e-6
"""Lower bound of a held-out text's probability, so that one text cannot decide the choice alone."""

SHRINK = 1e-3
"""Penalty on the squared weights of the scores, which have unit size: scores that agree share the weight."""

UNFITTED = 0.1
"""Sum of the weights of the scores if no text can be held out."""


class Vectoriser(Protocol):
    """scikit-learn's transformer contract from raw strings to a matrix (texts, features), dense or sparse."""

    def fit_transform(self, raw_documents: Sequence[str]) -> Any:
        """Learn the features from the texts, and return their matrix."""
        ...

    def transform(self, raw_documents: Sequence[str]) -> Any:
        """Return the matrix of the learnt features."""
        ...


class InnerFold(NamedTuple):
    """Masks of the texts to fit to and of the texts held out: (n,) bool each."""

    fit: NDArray[np.bool_]
    held: NDArray[np.bool_]


def folds(y: NDArray[Any], groups: Sequence[int] | None, seed: int, held_out: int = HELD_OUT) -> Iterator[InnerFold]:
    """Folds inside training that never separate the texts of one group.

    There are at most FOLDS of them, and no more than are needed to hold out about `held_out` texts. y: (n,) classes.
    Folds whose training part lacks a class are left out, so there may be no folds at all.
    """
    group = np.arange(len(y)) if groups is None else np.asarray(groups)
    if (n := len(np.unique(group))) < 2:
        return
    classes = len(np.unique(y))
    splitter = GroupKFold(min(FOLDS, n), shuffle=True, random_state=seed % 2**32)
    for _, held in list(splitter.split(y, y, group))[: math.ceil(held_out * FOLDS / len(y))]:
        out = np.zeros(len(y), dtype=np.bool_)
        out[held] = True
        if len(np.unique(y[~out])) == classes:
            yield InnerFold(~out, out)


def stratified_sample(y: NDArray[np.int64], limit: int, *stream: streams.Name) -> NDArray[np.int64]:
    """Choose at most `limit` texts at random, the same share of each class y (n,); returns their indices, sorted."""
    order = streams.permutation(len(y), *stream)
    rank = np.empty(len(y))
    for label in np.unique(y):
        mine = order[y[order] == label]
        rank[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
        rank[mine[0]] = 0.0  # every class is represented
    return np.sort(np.argsort(rank, kind="stable")[:limit])


class TextClassifier:
    """An attributor: a vectoriser, then logistic regression whose penalty is chosen inside training.

    The vectoriser is fitted once, on all training texts, because it sees no labels.
    """

    classes_: NDArray[Any]
    C_: float

    def __init__(self, vectoriser: Vectoriser, *, seed: int = 0) -> None:
        self.vectoriser = vectoriser
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; texts of one group are never on both sides of the inner split."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        x = csr_matrix(self.vectoriser.fit_transform(texts), dtype=np.float64)
        # More threads would sum long dot products in another order.
        with threadpool_limits(1):
            self.C_ = choose_strength(x, y, list(folds(y, groups, self.seed)), self.seed)
            self._model = logistic_regression(self.C_).fit(x, y)
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "classes_"):
            raise NotFittedError("this TextClassifier is not fitted yet; call fit first")
        if not len(texts):
            return np.empty((0, len(self.classes_)))
        return probabilities(self._model, csr_matrix(self.vectoriser.transform(texts), dtype=np.float64))


def logistic_regression(strength: float) -> OneVsRestClassifier:
    """Logistic regression of each class against the rest (LIBLINEAR); `strength` is scikit-learn's C.

    On texts it is as accurate as multinomial regression and takes a fraction of the time.
    """
    # LIBLINEAR stops when the gradient has shrunk by a factor. Other solvers stop when its largest entry is small. If
    # features are rare, that entry is small from the start, and a fit to 10^5 n-grams stays at chance.
    return OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear", tol=TOLERANCE, max_iter=1000))


def probabilities(model: OneVsRestClassifier, x: csr_matrix) -> NDArray[np.float64]:
    """Probability of each class: (texts, classes)."""
    return np.asarray(model.predict_proba(x), dtype=np.float64)


def choose_strength(x: csr_matrix, y: NDArray[np.int64], splits: Sequence[InnerFold], seed: int) -> float:
    """Choose the inverse penalty by held-out log loss, going downhill from 1; it is 1 if there is no fold."""
    known = [np.flatnonzero(fold.fit)[stratified_sample(y[fold.fit], LEARNT, "penalty", seed)] for fold in splits]

    @functools.cache
    def loss(at: int) -> float:
        total = 0.0
        for fold, rows in zip(splits, known, strict=True):
            model = logistic_regression(STRENGTHS[at]).fit(x[rows], y[rows])
            right = probabilities(model, x[fold.held])[np.arange(fold.held.sum()), y[fold.held]]
            total -= float(np.log(np.maximum(right, LEAST)).sum())
        return total

    at = STRENGTHS.index(1.0)
    for step in (1, -1):
        while splits and 0 <= at + step < len(STRENGTHS) and loss(at + step) < loss(at):
            at += step
    return STRENGTHS[at]


class LogLinear:
    """Probabilities from several scores per class: log p = log frequency + sum of weight * score, normalised.

    Scores are log-likelihoods or log-probabilities, up to a constant per text. The weights are the same for all
    classes and never negative; they minimise the log loss on held-out texts (for stacking, Ting and Witten, JAIR 10,
    1999). With one score the weight is an inverse temperature; a score without information gets the weight 0.
    """

    weights_: NDArray[np.float64]

    def fit(self, scores: NDArray[np.float64], y: NDArray[np.int64], frequencies: NDArray[np.float64]) -> Self:
        """Learn from scores (n, classes, scores) of held-out texts of classes y (n,); frequencies: (classes,)."""
        n, _, width = scores.shape
        self._start = np.log(frequencies)
        self.weights_ = np.full(width, UNFITTED / width)
        if not n:
            return self
        centred = scores - scores.mean(axis=1, keepdims=True)
        scale = np.sqrt(np.square(centred).mean(axis=(0, 1))) + 1e-9
        centred /= scale
        truth = centred[np.arange(n), y].sum(axis=0)

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            logs = log_softmax(centred @ weights + self._start, axis=1)
            slope = np.einsum("nk,nkf->f", np.exp(logs), centred) - truth
            value = SHRINK * float(weights @ weights) - float(logs[np.arange(n), y].mean())
            return value, slope / n + 2 * SHRINK * weights

        found = minimize(loss, np.zeros(width), jac=True, method="L-BFGS-B", bounds=[(0, None)] * width)
        self.weights_ = found.x / scale
        return self

    def predict_proba(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of each class, (texts, classes), from scores (texts, classes, scores)."""
        return np.asarray(softmax((scores * self.weights_).sum(axis=2) + self._start, axis=1))
