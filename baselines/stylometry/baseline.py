"""Gradient boosting on readable features of style."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

from natfp_bench.attributors.kit import LogLinear, folds

from .features import features, table

COMMON = 0.02
"""Share of the training texts in which a feature must occur: trees learn nothing from rare function words."""

ROUNDS = 40

RATE = 0.15

LEAST = 1e-6
"""Lower bound of a probability before its logarithm is taken."""


class Stylometry:
    """Gradient-boosted trees on named features; rounds and temperature are chosen on held-out texts.

    `feature_names_` names the columns.
    """

    classes_: NDArray[Any]
    feature_names_: tuple[str, ...]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; the inner split never separates texts of one group."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        frequencies = np.bincount(y) / len(y)
        rows = [features(text) for text in texts]
        seen = Counter(name for row in rows for name, value in row.items() if value)
        self.feature_names_ = tuple(sorted(name for name, count in seen.items() if count >= COMMON * len(rows)))
        x = table(rows, self.feature_names_)
        staged, truth = [np.empty((ROUNDS, 0, len(classes)))], [np.empty(0, np.int64)]
        for fit, held in folds(y, groups, self.seed) if len(classes) > 1 and x.shape[1] else ():
            stages = boost(ROUNDS, x[fit], y[fit]).staged_predict_proba(x[held])
            staged.append(np.stack([evidence(proba, frequencies) for proba in stages]))
            truth.append(y[held])
        scores, asked = np.concatenate(staged, axis=1), np.concatenate(truth)
        self._model = None
        if len(asked):
            logs = log_softmax(scores + np.log(frequencies), axis=2)[:, np.arange(len(asked)), asked]
            self.rounds_ = int(logs.mean(axis=1).argmax()) + 1
            self.pool_ = LogLinear().fit(scores[self.rounds_ - 1, ..., None], asked, frequencies)
            self._model = boost(self.rounds_, x, y)
        self._frequencies, self.classes_ = frequencies, classes
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "classes_"):
            raise NotFittedError("this Stylometry is not fitted yet; call fit first")
        if self._model is None or not len(texts):
            return np.tile(self._frequencies, (len(texts), 1))
        x = table([features(text) for text in texts], self.feature_names_)
        return self.pool_.predict_proba(evidence(self._model.predict_proba(x), self._frequencies)[..., None])


def boost(rounds: int, x: NDArray[np.float32], y: NDArray[np.int64]) -> HistGradientBoostingClassifier:
    """Fit some rounds of small trees: the signal is spread over many features."""
    model = HistGradientBoostingClassifier(
        learning_rate=RATE, max_iter=rounds, max_leaf_nodes=8, max_bins=63, early_stopping=False, random_state=0
    )
    # More threads would sum in another order, and with trees so small they would mostly wait for each other.
    with threadpool_limits(1):
        return model.fit(x, y)


def evidence(proba: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-ratios of probabilities to the class frequencies: (texts, classes)."""
    return np.log(np.maximum(proba, LEAST)) - np.log(frequencies)


def build(seed: int) -> Stylometry:
    """Build an unfitted attributor."""
    return Stylometry(seed)
