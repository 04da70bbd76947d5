"""Attributors whose accuracy on planted texts is known, and experiments with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from natfp_bench.attributors.study import Experiment, Texts


class Coins:
    """Knows its classes: class `p` writes each character as x with probability p/10, otherwise as y."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        p = np.array([int(name) / 10 for name in self.classes_])
        heads, tails = (np.array([text.count(side) for text in texts])[:, None] for side in "xy")
        logs = heads * np.log(p) + tails * np.log(1 - p)
        likely = np.exp(logs - logs.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)


class Bag:
    """Multinomial naive Bayes on words."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        self.known = sorted({word for text in texts for word in text.split()})
        counts = [
            Counter(w for t, own in zip(texts, labels, strict=True) if own == c for w in t.split())
            for c in self.classes_
        ]
        table = np.array([[count[word] + 1.0 for word in self.known] for count in counts])
        self.logs = np.log(table / table.sum(axis=1, keepdims=True)) if self.known else table
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        place = {word: i for i, word in enumerate(self.known)}
        rows = []
        for text in texts:
            logs = self.logs[:, [place[word] for word in text.split() if word in place]].sum(axis=1)
            likely = np.exp(logs - logs.max())
            rows.append(likely / likely.sum())
        return np.array(rows).reshape(len(texts), len(self.classes_))


class Memory:
    """Knows the labels of its training texts, and guesses all others."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> Self:
        self.classes_ = np.unique(labels)
        self.label = dict(zip(texts, labels, strict=True))
        return self

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        even = np.full(len(self.classes_), 1 / len(self.classes_))
        return np.array([(self.classes_ == self.label[text]) * 1.0 if text in self.label else even for text in texts])


def texts_of(variants: Sequence[Sequence[str]]) -> Texts:
    """Texts of variants, one list each; text i of each continues prompt i."""
    source = np.repeat(np.arange(len(variants)), [len(texts) for texts in variants])
    prompts = np.concatenate([np.arange(len(texts)) for texts in variants])
    return Texts([text for texts in variants for text in texts], source, prompts)


def experiment(
    build: Callable[[], Any],
    labels: Sequence[str],
    train: Sequence[Sequence[str]],
    test: Sequence[Sequence[str]],
    split: str = "unseen_prompt",
) -> Experiment:
    """Variants come replicate by replicate, each with all labels."""
    replicates = np.arange(len(labels)) // len(set(labels))
    made = (texts_of(train), texts_of(test))
    return Experiment(lambda seed: build(), 0, tuple(labels), replicates, split, *made)
