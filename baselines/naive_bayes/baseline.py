"""Multinomial naive Bayes on hashed byte n-grams: a generative classifier that takes a second to fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array

from natfp_bench.attributors.kit import permutation

SHORTEST, LONGEST = 2, 5
"""Lengths of the n-grams, in bytes."""

BUCKETS_LOG2 = 19

PRIORS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the prior to try, as shares of a class's n-grams."""

AT_ONCE = 1 << 16
"""About how many bytes of text are hashed at once."""

MULTIPLIER, FINALISER = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


class NaiveBayes:
    """Naive Bayes whose prior is the distribution of all classes together.

    So an n-gram that a class never wrote does not rule the class out. N-grams overlap and repeat each other's evidence,
    which makes the raw posterior far too confident: the log-odds are divided by a temperature. The temperature and the
    weight of the prior are chosen by log loss on a quarter of the training texts.
    """

    classes_: NDArray[np.str_]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; the inner split never separates texts of one group."""
        self.classes_, y = np.unique(np.asarray(labels), return_inverse=True)
        grams = read(texts)
        # Only buckets that occur in training have weights; all others share one column, whose weight is zero.
        seen = np.zeros(1 << BUCKETS_LOG2, dtype=np.bool_)
        seen[grams.indices] = True
        met = np.flatnonzero(seen)
        self._place = np.full(1 << BUCKETS_LOG2, len(met), dtype=np.int32)
        self._place[met] = np.arange(len(met))
        grams = self._placed(grams)
        _, group = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups), return_inverse=True)
        held = permutation(int(group.max()) + 1, "naive_bayes", self.seed)[group] % 4 == 3
        self.temperature_, prior = 1.0, PRIORS[-1]
        counts = self._count(grams[~held], y[~held])
        if held.any() and len(np.unique(y[~held])) == len(self.classes_):
            tried = np.concatenate([log_odds(counts, share) for share in PRIORS])
            scores = np.split(grams[held] @ tried.T, len(PRIORS), axis=1)
            _, self.temperature_, prior = min(
                (*calibrate(each, y[held]), share) for each, share in zip(scores, PRIORS, strict=True)
            )
        self.weights_ = log_odds(counts + self._count(grams[held], y[held]), prior)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64."""
        return softmax(self._placed(read(texts)) @ self.weights_.T / self.temperature_)

    def _placed(self, grams: csr_array) -> csr_array:
        columns = int(self._place.max()) + 1
        return csr_array((grams.data, self._place[grams.indices], grams.indptr), shape=(grams.shape[0], columns))

    def _count(self, grams: csr_array, y: NDArray[np.int64]) -> NDArray[np.float64]:
        k, width = len(self.classes_), grams.shape[1]
        cell = np.repeat(y, np.diff(grams.indptr)) * width + grams.indices
        return np.bincount(cell, minlength=k * width).reshape(k, width).astype(np.float64)


def read(texts: Sequence[str]) -> csr_array:
    """Hash all n-grams of all texts: (texts, buckets), one entry for each n-gram, repeated ones too."""
    data = [text.encode(errors="replace") for text in texts]
    lengths = np.array([len(part) for part in data], dtype=np.int64)
    grams = sum(np.maximum(lengths - size + 1, 0) for size in range(SHORTEST, LONGEST + 1))
    buckets, ends = [np.empty(0, np.int32)], np.cumsum(lengths)
    # A part at a time, so that what is computed on the way stays in the processor's cache.
    for _, part in itertools.groupby(range(len(data)), lambda i: ends[i] // AT_ONCE):
        mine = [*part]
        buckets.append(hashed(b"".join(data[mine[0] : mine[-1] + 1]), lengths[mine]))
    bucket = np.concatenate(buckets)
    start = np.concatenate([[0], np.cumsum(grams)]).astype(np.int32 if len(bucket) < 2**31 else np.int64)
    return csr_array((np.ones(len(bucket), np.int8), bucket, start), shape=(len(data), 1 << BUCKETS_LOG2))


def hashed(data: bytes, lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """Hash the n-grams of joined texts by a rolling polynomial, text after text; none crosses the end of its text."""
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(data))
    ahead = np.frombuffer(data + bytes(LONGEST), dtype=np.uint8).astype(np.uint64) + np.uint64(1)
    rolling = np.zeros(len(data), dtype=np.uint64)
    bucket = np.empty((len(data), LONGEST - SHORTEST + 1), dtype=np.int32)
    for size in range(1, LONGEST + 1):
        rolling *= MULTIPLIER
        rolling += ahead[size - 1 : size - 1 + len(data)]
        if size >= SHORTEST:
            bucket[:, size - SHORTEST] = (rolling * FINALISER) >> np.uint64(64 - BUCKETS_LOG2)
    return bucket[left[:, None] >= np.arange(SHORTEST, LONGEST + 1)]


def log_odds(counts: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Log-ratio of each class's frequencies, smoothed, to those of all classes: (k, buckets), 0 for unseen buckets."""
    pooled = counts.sum(0)
    pooled /= max(pooled.sum(), 1.0)
    total = counts.sum(1, keepdims=True)
    weight = share * max(float(total.mean()), 1.0)
    ratio = np.ones_like(counts)
    np.divide(counts + weight * pooled, (total + weight) * pooled, out=ratio, where=pooled > 0)
    return np.asarray(np.log(ratio))


def calibrate(scores: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[float, float]:
    """Find the temperature of scores (n, k) with the lowest log loss; returns (loss in nats per text, temperature)."""

    def loss(log_temperature: float) -> float:
        proba = softmax(scores / np.exp(log_temperature))[np.arange(len(y)), y]
        return -float(np.log(np.maximum(proba, 1e-12)).mean())

    found = minimize_scalar(loss, bounds=(0.0, 8.0), method="bounded", options={"xatol": 0.01})
    return float(found.fun), float(np.exp(found.x))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of each row's scores."""
    likely = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True))


def build(seed: int) -> NaiveBayes:
    """Build an unfitted attributor."""
    return NaiveBayes(seed)
