"""Counted n-grams and a neural language model together: their log-likelihoods, weighted on held-out texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natfp_bench.attributors.kit import LogLinear, NeuralClassifier, build_bundled, calibrate

NGRAMS, NEURAL = ("ngram_lm", "1"), ("surrogate_lm", "1")
"""The members, which are bundled baselines, and the version that each must have: the answers depend on it.

If a member gets a new version, state it here, and raise the version of the mixture too.
"""


class MixtureLM(NeuralClassifier):
    """The weighted sum of two log-likelihoods: under the n-gram models, pooled over orders, and under the neural ones.

    `NeuralClassifier` holds out some of the texts. There, and only there, the training of the neural models stops, and
    the two weights and the temperature of their sum are chosen.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ngrams, self.neural = build_bundled(*NGRAMS, seed), build_bundled(*NEURAL, seed)

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; no inner split separates texts of one group, neither here nor in a member."""
        self._groups = np.arange(len(texts)) if groups is None else np.asarray(groups)
        self._chosen = math.inf
        super().fit(texts, labels, groups)
        # By now the n-grams have seen the held-out texts too, so these would make the sum look far too sure.
        self.temperature_ = self._chosen
        return self

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train the neural models once; count n-grams for the weights, and then again in all texts."""
        # Its own `fit` would hold out other texts, and the weights would need a second training.
        self.neural.classes_, self.neural.frequencies_ = self.classes_, self.frequencies_
        self.neural.learn(texts, y, held)
        self._count(texts, y, ~held)
        scores = self.log_likelihood([texts[i] for i in np.flatnonzero(held)])
        self.weights_ = LogLinear().fit(scores, y[held], self.frequencies_).weights_
        self._chosen = calibrate(scores @ self.weights_, y[held], self.frequencies_)[1]
        self._count(texts, y, np.ones_like(held))

    def log_likelihood(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class's n-grams, pooled, and neural model: (n, k, 2), in nats.

        The n-gram orders have the weights that `ngram_lm` learns by inner folds: it needs more held-out texts for so
        many weights than the neural models can spare.
        """
        counted = self.ngrams.log_likelihood(texts) @ self.ngrams.pool_.weights_
        return np.stack([counted, self.neural.score(texts)], axis=2)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Weighted sum of the two log-likelihoods of each text under each class: (n, k)."""
        return np.asarray(self.log_likelihood(texts) @ self.weights_)

    def _count(self, texts: Sequence[str], y: NDArray[Any], known: NDArray[np.bool_]) -> None:
        self.ngrams.fit([texts[i] for i in np.flatnonzero(known)], y[known], groups=self._groups[known])


def build(seed: int) -> MixtureLM:
    """Build an unfitted attributor; raises AttributorError if a member has another version."""
    return MixtureLM(seed)
