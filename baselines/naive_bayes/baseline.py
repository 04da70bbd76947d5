"""Multinomial naive Bayes on hashed byte n-grams: a generative classifier that takes a second to fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from natfp_bench.attributors.kit import permutation

SHORTEST, LONGEST = 2, 5
"""Lengths of the n-grams, in bytes."""

BUCKETS_LOG2 = 19

PRIORS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the prior to try, as shares of a class's n-grams."""

MULTIPLIER, FINALISER = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


class Grams(NamedTuple):
    """N-grams of n texts: the text and the bucket of each."""

    n: int
    text: NDArray[np.int64]
    bucket: NDArray[np.int64]

    def of(self, keep: NDArray[np.bool_]) -> Grams:
        """Select the n-grams of some texts, renumbered."""
        mine = keep[self.text]
        number = np.cumsum(keep) - 1
        return Grams(int(keep.sum()), number[self.text[mine]], self.bucket[mine])


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
        met = np.flatnonzero(np.bincount(grams.bucket, minlength=1 << BUCKETS_LOG2))
        self._place = np.full(1 << BUCKETS_LOG2, len(met))
        self._place[met] = np.arange(len(met))
        grams = grams._replace(bucket=self._place[grams.bucket])
        _, group = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups), return_inverse=True)
        held = permutation(int(group.max()) + 1, "naive_bayes", self.seed)[group] % 4 == 3
        self.temperature_, prior = 1.0, PRIORS[-1]
        if held.any() and len(np.unique(y[~held])) == len(self.classes_):
            counts, asked = self._count(grams.of(~held), y[~held]), grams.of(held)
            found = [(*calibrate(log_odds(counts, share), asked, y[held]), share) for share in PRIORS]
            _, self.temperature_, prior = min(found)
        self.weights_ = log_odds(self._count(grams, y), prior)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64."""
        grams = read(texts)
        scores = add_up(self.weights_, grams._replace(bucket=self._place[grams.bucket]))
        return softmax(scores / self.temperature_)

    def _count(self, grams: Grams, y: NDArray[np.int64]) -> NDArray[np.float64]:
        k, width = len(self.classes_), int(self._place.max()) + 1
        return (
            np.bincount(y[grams.text] * width + grams.bucket, minlength=k * width).reshape(k, width).astype(np.float64)
        )


def read(texts: Sequence[str]) -> Grams:
    """Hash all n-grams of all texts at once by a rolling polynomial; no n-gram crosses the end of its text."""
    parts = [text.encode(errors="replace") for text in texts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    data = np.frombuffer(b"".join(parts), dtype=np.uint8).astype(np.uint64)
    text = np.repeat(np.arange(len(parts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(data))
    rolling = np.zeros(len(data), dtype=np.uint64)
    rows, buckets = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in range(1, LONGEST + 1):
        ahead = np.zeros(len(data), dtype=np.uint64)
        ahead[: max(0, len(data) - size + 1)] = data[size - 1 :]
        rolling = rolling * MULTIPLIER + ahead + np.uint64(1)
        if size >= SHORTEST:
            whole = left >= size
            rows.append(text[whole])
            buckets.append(((rolling[whole] * FINALISER) >> np.uint64(64 - BUCKETS_LOG2)).astype(np.int64))
    return Grams(len(parts), np.concatenate(rows), np.concatenate(buckets))


def log_odds(counts: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Log-ratio of each class's frequencies, smoothed, to those of all classes: (k, buckets), 0 for unseen buckets."""
    pooled = counts.sum(0)
    pooled /= max(pooled.sum(), 1.0)
    total = counts.sum(1, keepdims=True)
    weight = share * max(float(total.mean()), 1.0)
    ratio = np.ones_like(counts)
    np.divide(counts + weight * pooled, (total + weight) * pooled, out=ratio, where=pooled > 0)
    return np.asarray(np.log(ratio))


def add_up(weights: NDArray[np.float64], grams: Grams) -> NDArray[np.float64]:
    """Sum the weights of each text's n-grams: (texts, k)."""
    sums = [np.bincount(grams.text, weights=row[grams.bucket], minlength=grams.n) for row in weights]
    return np.stack(sums, axis=1)


def calibrate(weights: NDArray[np.float64], grams: Grams, y: NDArray[np.int64]) -> tuple[float, float]:
    """Find the temperature with the lowest log loss; returns (loss in nats per text, temperature)."""
    scores = add_up(weights, grams)

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
