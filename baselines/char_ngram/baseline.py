"""Character n-grams of one to five characters, within words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

from natfp_bench.attributors.kit import TextClassifier

LONGEST = 5

BUCKETS_LOG2 = 20

LEAST_TEXTS = 3
"""Fewest texts of an n-gram: rarer ones are noise, and would take most of the time."""

MULTIPLIER, FINALISER = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


class CharacterNgrams:
    """Hashed n-grams of characters, weighted by sublinear TF-IDF and counted for all texts at once in numpy."""

    def fit_transform(self, texts: Sequence[str]) -> csr_matrix:
        """Choose the n-grams that are common enough, and weight them: (texts, n-grams) sparse."""
        text, bucket, count = ngrams(texts)
        frequency = np.bincount(bucket, minlength=1 << BUCKETS_LOG2)
        kept = np.flatnonzero(frequency >= LEAST_TEXTS)
        # If no n-gram is common, one column remains, which is always empty.
        self._width = max(len(kept), 1)
        self._place = np.full(1 << BUCKETS_LOG2, -1)
        self._place[kept] = np.arange(len(kept))
        counts = self._counts(len(texts), text, bucket, count)
        self._weights = TfidfTransformer(sublinear_tf=True).fit(counts)
        # The IDF is squared: rare n-grams separate the classes, and the common ones of every text would hide them.
        self._weights.idf_ = self._weights.idf_**2
        return self._weights.transform(counts)

    def transform(self, texts: Sequence[str]) -> csr_matrix:
        """Weight the n-grams of other texts: (texts, n-grams) sparse."""
        return self._weights.transform(self._counts(len(texts), *ngrams(texts)))

    def _counts(
        self, n: int, text: NDArray[np.int64], bucket: NDArray[np.int64], count: NDArray[np.int64]
    ) -> csr_matrix:
        place = self._place[bucket]
        known = place >= 0
        return csr_matrix((count[known].astype(np.float32), (text[known], place[known])), shape=(n, self._width))


def ngrams(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count the n-grams of each text by a rolling hash: (text, bucket, count), one entry per pair that occurs.

    An n-gram may begin or end with whitespace but has none inside. N-grams within words are more accurate than n-grams
    across words, and leaving out the latter makes room for longer ones.
    """
    data = np.frombuffer("".join(texts).encode("utf-32-le", errors="replace"), dtype="<u4").astype(np.uint64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    text = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(data))
    spaces = np.concatenate([[0], np.cumsum(data <= ord(" "))])
    rolling = np.zeros(len(data), dtype=np.uint64)
    keys = [np.empty(0, np.int64)]
    for size in range(1, min(LONGEST, len(data)) + 1):
        last = len(data) - size + 1
        rolling = rolling[:last] * MULTIPLIER + data[size - 1 :] + np.uint64(1)
        inner = spaces[size - 1 : size - 1 + last] - spaces[1 : 1 + last] if size > 2 else np.zeros(last, np.int64)
        whole = (left[:last] >= size) & (inner == 0)
        bucket = ((rolling[whole] * FINALISER) >> np.uint64(64 - BUCKETS_LOG2)).astype(np.int64)
        keys.append((text[:last][whole] << BUCKETS_LOG2) + bucket)
    key, count = np.unique(np.concatenate(keys), return_counts=True)
    return key >> BUCKETS_LOG2, key & ((1 << BUCKETS_LOG2) - 1), count


def build(seed: int) -> TextClassifier:
    """Build an unfitted attributor."""
    return TextClassifier(CharacterNgrams(), seed=seed)
