"""Several baselines together: a log-linear pool, whose weights are chosen on texts that the members have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from natfp_bench.attributors.kit import LogLinear, build_bundled, folds, stratified_sample

MEMBERS = {"ngram_lm": "1", "naive_bayes": "1"}
"""Bundled baselines, and the version that each must have, because the answers of the ensemble depend on it.

If a member gets a new version, state it here, and raise the version of the ensemble too.
"""

LEARNT = 2000
"""Most training texts of the members whose answers are used to choose the weights."""

LEAST = 1e-4
"""Lower bound of a member's probability, so that one member cannot overrule all others."""


class Ensemble:
    """The weighted sum of the members' log-probabilities."""

    classes_: NDArray[Any]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; the inner split never separates texts of one group."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        group = np.arange(len(y)) if groups is None else np.asarray(groups)
        frequencies = np.bincount(y) / len(y)
        scores, truth = [np.empty((0, len(classes), len(MEMBERS)))], [np.empty(0, np.int64)]
        for fit, held in folds(y, groups, self.seed):
            known = np.flatnonzero(fit)[stratified_sample(y[fit], LEARNT, "ensemble", self.seed)]
            fitted = self._fitted([texts[i] for i in known], np.asarray(labels)[known], group[known])
            scores.append(evidence(fitted, [texts[i] for i in np.flatnonzero(held)], frequencies))
            truth.append(y[held])
        self.pool_ = LogLinear().fit(np.concatenate(scores), np.concatenate(truth), frequencies)
        self._members, self._frequencies = self._fitted(texts, np.asarray(labels), group), frequencies
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "classes_"):
            raise NotFittedError("this Ensemble is not fitted yet; call fit first")
        return self.pool_.predict_proba(evidence(self._members, texts, self._frequencies))

    def _fitted(self, texts: Sequence[str], labels: NDArray[Any], groups: NDArray[np.int64]) -> list[Any]:
        return [member.fit(texts, labels.tolist(), groups=groups) for member in members(self.seed)]


def members(seed: int) -> list[Any]:
    """Build all members, unfitted; raises AttributorError if one has another version."""
    return [build_bundled(name, version, seed) for name, version in MEMBERS.items()]


def evidence(fitted: Sequence[Any], texts: Sequence[str], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-ratios of each member's probabilities to the class frequencies: (texts, classes, members)."""
    proba = np.stack([member.predict_proba(texts) for member in fitted], axis=2)
    return np.log(np.maximum(proba, LEAST)) - np.log(frequencies)[:, None]


def build(seed: int) -> Ensemble:
    """Build an unfitted attributor."""
    members(seed)  # fails now if a member is missing or has another version, not after hours of work
    return Ensemble(seed)
