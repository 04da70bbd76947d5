"""Tuned copies of a model of the sources' own recipe, together with counted n-grams; beginnings of texts count more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from natfp_bench.attributors.kit import (
    ClassModels,
    Knowledge,
    LogLinear,
    Trunk,
    build_bundled,
    encode_rows,
    likeliest_trunk,
)

NGRAMS = ("ngram_lm", "1")
"""The bundled baseline that counts, and the version that it must have: the answers depend on it."""

SPANS = (math.inf, 2.0, 1.0, 0.5)
"""Spans to choose from, as multiples of the context, over which the weight of a token falls to 1/e."""

PARTS = 3
"""N-grams also read the first part of a text alone, of so many parts of the context."""


class HybridLM(ClassModels):
    """Copies of a stranger, and n-gram models of the same classes: their log-likelihoods, weighted on held-out texts.

    Copies see far and generalise; n-grams remember exactly which words followed each other. So they err on different
    texts, and the classes of texts without labels are already drawn by what both say.
    """

    def __init__(self, seed: int, knowledge: Knowledge) -> None:
        super().__init__(seed, averaged=True, spans=SPANS)
        self.knowledge, self.ngrams = knowledge, build_bundled(*NGRAMS, seed)

    def trunk(self, texts: Sequence[str]) -> Trunk:
        """Load the stranger that predicts the texts best."""
        return likeliest_trunk(self.knowledge.strangers, texts)

    def further(self) -> Sequence[str]:
        """Texts of the sources without labels."""
        return self.knowledge.unlabelled

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; no inner split separates texts of one group, neither here nor in the n-grams."""
        self._groups = np.arange(len(texts)) if groups is None else np.asarray(groups)
        return super().fit(texts, labels, groups)

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Count the n-grams of the texts that are not held out, tune the copies, and weigh both."""
        known = [text for text, out in zip(texts, held, strict=True) if not out]
        self._asked, self._truth = [text for text, out in zip(texts, held, strict=True) if out], y[held]
        # Numbers of classes are the labels here, so that the columns of both kinds of models are the same classes.
        self.ngrams.fit(known, y[~held], groups=self._groups[~held])
        super().learn(texts, y, held)
        self._pool = self._weighed()

    def guesses(self, rows: Sequence[Sequence[int]], temperature: float) -> NDArray[np.float64]:  # noqa: ARG002
        """Probabilities of the classes of texts without labels, by copies and n-grams together: (rows, k)."""
        return self._weighed().predict_proba(self._evidence(rows))

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The weighted sum of the log-likelihoods of each text: (n, k)."""
        return np.asarray((self._evidence(encode_rows(self._trunk, texts)) * self._pool.weights_).sum(axis=2))

    def _weighed(self) -> LogLinear:
        """Choose weights for the copies as they are now, on the held-out texts."""
        return LogLinear().fit(self._evidence(encode_rows(self._trunk, self._asked)), self._truth, self.frequencies_)

    def _evidence(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Log-likelihoods under the copies, and under the n-grams of the text and of its first part: (rows, k, 3)."""
        first = 1 + self._trunk.context // PARTS
        found = [self.scores(rows)]
        for tokens in ([list(row) for row in rows], [list(row[:first]) for row in rows]):
            counted = self.ngrams.log_likelihood(self._trunk.tokenizer.decode_batch(tokens))
            # The weights of the orders are those of the n-grams themselves, which folds of their own texts have given.
            found.append((counted * self.ngrams.pool_.weights_).sum(axis=2))
        return np.stack(found, axis=2)


def build(seed: int, knowledge: Knowledge) -> HybridLM:
    """Build an unfitted attributor."""
    return HybridLM(seed, knowledge)
