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
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

STRENGTHS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0)
"""Inverse penalties that are tried, scikit-learn's `C`; the small ones make a classifier that knows when it is lost."""

FOLDS = 4

HELD_OUT = 2000
"""Texts held out in all: a large set needs one fold of four to choose a penalty, a small one needs all of them."""

LEAST = 1e-6
"""Smallest probability that a held-out text's class counts with: one surprise must not decide the choice."""


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
        y = np.asarray(labels)
        x = csr_matrix(self.vectoriser.fit_transform(texts), dtype=np.float64)
        # Long dot products are summed in another order by more threads; the sparse products use but one anyway.
        with threadpool_limits(1):
            self.C_ = choose_strength(x, y, np.arange(len(y)) if groups is None else np.asarray(groups), self.seed)
            self._model = logistic_regression(self.C_).fit(x, y)
        self.classes_ = self._model.classes_
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64."""
        if not len(texts):
            return np.empty((0, len(self.classes_)))
        x = csr_matrix(self.vectoriser.transform(texts), dtype=np.float64)
        return np.asarray(self._model.predict_proba(x), dtype=np.float64)


def logistic_regression(strength: float) -> LogisticRegression:
    """Multinomial logistic regression as it suits rare features; `strength` is scikit-learn's C."""
    # The solver stops by the largest entry of the gradient, which shrinks as features get rarer: with 10^5 n-grams
    # scikit-learn's default tolerance stops far too early. Newton's steps are few, so a tight one costs little.
    return LogisticRegression(C=strength, solver="newton-cg", tol=1e-6)


def choose_strength(x: csr_matrix, y: NDArray[Any], groups: NDArray[Any], seed: int) -> float:
    """Choose the inverse penalty by held-out log loss, with whole groups held out; 1 where there is but one group."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        return 1.0
    folds = GroupKFold(min(FOLDS, n_groups), shuffle=True, random_state=seed % 2**32).split(x, y, groups)
    used = list(folds)[: math.ceil(HELD_OUT * FOLDS / len(y))]
    splits = [fold for fold in used if len(np.unique(y[fold[0]])) > 1]
    best, chosen = math.inf, 1.0
    # From strong penalty to weak; past the best one none is better.
    for strength in STRENGTHS:
        loss = sum(
            _log_loss(logistic_regression(strength).fit(x[fit], y[fit]), x[held], y[held]) for fit, held in splits
        )
        if loss >= best:
            break
        best, chosen = loss, strength
    return chosen


def _log_loss(model: LogisticRegression, x: csr_matrix, y: NDArray[Any]) -> float:
    """Sum of held-out log losses, in nats; a class that the model has never seen has probability 0."""
    hits = model.classes_[None, :] == y[:, None]
    return -float(np.log(np.maximum((model.predict_proba(x) * hits).sum(axis=1), LEAST)).sum())
