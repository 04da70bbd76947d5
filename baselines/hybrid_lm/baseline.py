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
    build_bundled,
    encode_rows,
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
    texts, and the classes of texts without labels are drawn by what both say. Both then learn from these texts.
    """

    def __init__(self, seed: int, knowledge: Knowledge) -> None:
        super().__init__(seed, knowledge, averaged=True, spans=SPANS)
        self.ngrams = build_bundled(*NGRAMS, seed)

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; no inner split separates texts of one group, neither here nor in the n-grams."""
        self._groups = np.arange(len(texts)) if groups is None else np.asarray(groups)
        return super().fit(texts, labels, groups)

    def learn(self, texts: Sequence[str], y: NDArray[np.int64], held: NDArray[np.bool_]) -> None:
        """Count the n-grams of the texts that are not held out, tune the copies, and weigh both."""
        self._asked, self._truth = [text for text, out in zip(texts, held, strict=True) if out], y[held]
        self._known = [text for text, out in zip(texts, held, strict=True) if not out], y[~held], self._groups[~held]
        self._guessed: list[tuple[list[str], NDArray[np.int64]]] = []
        self._count([])
        super().learn(texts, y, held)
        # Now that nothing is left to guess, all texts without labels may be counted.
        self._count(self._guessed[-self.turns :])
        self._pool = self._weighed()

    def guesses(self, rows: Sequence[Sequence[int]], temperature: float) -> NDArray[np.float64]:  # noqa: ARG002
        """Probabilities of the classes of texts without labels, by copies and n-grams together: (rows, k)."""
        return self._weighed().predict_proba(self._evidence(rows))

    def guessed(self, rows: Sequence[Sequence[int]], given: NDArray[np.int64]) -> None:
        """Count their n-grams too; not those of the other texts, whose turn it is to be guessed next."""
        self._guessed.append((self._trunk.tokenizer.decode_batch([list(row) for row in rows]), given))
        self._count(self._guessed[-1:])

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The weighted sum of the log-likelihoods of each text: (n, k)."""
        return np.asarray((self._evidence(encode_rows(self._trunk, texts)) * self._pool.weights_).sum(axis=2))

    def _count(self, guessed: Sequence[tuple[Sequence[str], NDArray[np.int64]]]) -> None:
        """Count n-grams afresh: of the labelled texts that are not held out, and of others with guessed classes."""
        known, y, groups = self._known
        texts = [text for part, _ in guessed for text in part]
        # A guessed text is a group of its own. Numbers of classes are the labels, so that all models agree on columns.
        own = groups.max(initial=-1) + 1 + np.arange(len(texts))
        given = np.concatenate([y, *(classes for _, classes in guessed)])
        self.ngrams.fit([*known, *texts], given, groups=np.concatenate([groups, own]))

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
