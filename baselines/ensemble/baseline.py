"""Several baselines asked together: a log-linear pool, its weights chosen on texts that the members had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from natfp_bench.attributors import registry
from natfp_bench.attributors.text_classifier import LogLinear, folds, some
from natfp_bench.base import resources
from natfp_bench.base.errors import AttributorError

MEMBERS = {"ngram_lm": "1", "naive_bayes": "1"}
"""Bundled baselines, with the version that each must have: what they answer is part of what this one answers."""

LEARNT = 2000
"""Texts, at most, that members learn from whose answers the weights are chosen by."""

LEAST = 1e-4
"""Smallest probability of a member that is believed: below it, one member could overrule all others."""


class Ensemble:
    """Log-probabilities of the members, weighted and added up."""

    classes_: NDArray[Any]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; texts of one group are never on both sides of the inner split."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        group = np.arange(len(y)) if groups is None else np.asarray(groups)
        frequencies = np.bincount(y) / len(y)
        scores, truth = [np.empty((0, len(classes), len(MEMBERS)))], [np.empty(0, np.int64)]
        for fit, held in folds(y, groups, self.seed):
            known = np.flatnonzero(fit)[some(y[fit], LEARNT, "ensemble", self.seed)]
            members = self._fitted([texts[i] for i in known], np.asarray(labels)[known], group[known])
            scores.append(evidence(members, [texts[i] for i in np.flatnonzero(held)], frequencies))
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
        return [member(name, self.seed).fit(texts, labels.tolist(), groups=groups) for name in MEMBERS]


def member(name: str, seed: int) -> Any:
    """Build a bundled baseline; raises AttributorError where its version is not the one that is due."""
    # Read from its folder, not found by name: an installed package may offer another baseline of that name.
    baseline = registry.read(resources.baselines() / name)
    if baseline.card.version != MEMBERS[name]:
        raise AttributorError(
            f"ensemble: its member {name} has version {baseline.card.version}, not {MEMBERS[name]}: "
            "state the new one in MEMBERS, and raise the ensemble's own version"
        )
    return registry.build(baseline, seed)


def evidence(members: Sequence[Any], texts: Sequence[str], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each member adds to the class frequencies: log-probability ratios, (texts, classes, members)."""
    proba = np.stack([member.predict_proba(texts) for member in members], axis=2)
    return np.log(np.maximum(proba, LEAST)) - np.log(frequencies)[:, None]


def build(seed: int) -> Ensemble:
    """Build an unfitted attributor."""
    for name in MEMBERS:
        member(name, seed)  # a member that is missing or of another version is told before hours of work
    return Ensemble(seed)
