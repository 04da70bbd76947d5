"""Counted n-grams and a neural language model together: their log-likelihoods, weighted on held-out texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.attributors.kit import LogLinear, NeuralClassifier, build_bundled, calibrate

NGRAMS, NEURAL = ("ngram_lm", "1"), ("surrogate_lm", "1")
"""The members, which are bundled baselines, and the version that each must have: the answers depend on it.

If a member gets a new version, state it here, and raise the version of the mixture too.
"""


class MixtureLM(NeuralClassifier):
    """The weighted sum of the log-likelihoods of a text under each n-gram order and under the neural class models.

    `NeuralClassifier` holds out some of the texts. There, and only there, the neural models stop, the weights of all
    log-likelihoods are chosen, and one temperature for their sum.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ngrams, self.neural = build_bundled(*NGRAMS, seed), build_bundled(*NEURAL, seed)

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Train the neural models once; count n-grams for the weights, and then again in all texts."""
        # Its `fit` would hold out texts of its own, so that the weights would need a second training.
        self.neural.classes_, self.neural.frequencies_ = self.classes_, self.frequencies_
        self.neural.learn(texts, y, held)
        self._count([texts[i] for i in np.flatnonzero(~held)], y[~held])
        scores, truth = self.log_likelihood([texts[i] for i in np.flatnonzero(held)]), y[held]
        weights = LogLinear().fit(scores, truth, self.frequencies_).weights_
        # Noise gains half a nat per weight where the weights are chosen, and costs as much elsewhere (Akaike, 1974).
        nothing = -float(np.log(self.frequencies_[truth]).sum())
        gained = nothing - calibrate(scores @ weights, truth, self.frequencies_)[0]
        self.weights_ = weights if gained > np.count_nonzero(weights) else np.zeros_like(weights)
        self._count(texts, y)

    def log_likelihood(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihood of each text under each class, in nats: (n, k, n-gram orders + 1), the neural one last."""
        return np.concatenate([self.ngrams.log_likelihood(texts), self.neural.score(texts)[:, :, None]], axis=2)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Weighted sum of the log-likelihoods of each text under each class: (n, k)."""
        return np.asarray(self.log_likelihood(texts) @ self.weights_)

    def _count(self, texts: Sequence[str], y: NDArray[Any]) -> None:
        # All texts are one group: nothing can be held out, so no time is spent on weights that are not used.
        self.ngrams.fit(texts, y, groups=np.zeros(len(texts), dtype=np.int64))


def build(seed: int) -> MixtureLM:
    """Build an unfitted attributor; raises AttributorError if a member has another version."""
    return MixtureLM(seed)
