"""The class whose training texts compress a text best, by DEFLATE with these texts as its dictionary."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from natfp_bench.attributors.kit import LogLinear, folds

WINDOW = 32_000
"""Bytes of a dictionary: DEFLATE looks back 32 KiB at most."""

DICTIONARIES = 12
"""Most dictionaries per class. Code lengths are whole bytes; the mean over several is finer."""


class Compression:
    """Code length of a text after each class's dictionaries, calibrated on held-out texts."""

    classes_: NDArray[Any]

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: Sequence[int] | None = None) -> Self:
        """Learn from (n,) texts; the inner split never separates texts of one group."""
        classes, y = np.unique(np.asarray(labels), return_inverse=True)
        data = [_bytes(text) for text in texts]
        scores, truth = [np.empty((0, len(classes), 2))], [np.empty(0, np.int64)]
        for fit, held in folds(y, groups, self.seed):
            scores.append(saved([data[i] for i in np.flatnonzero(held)], dictionaries(data, y, len(classes), fit)))
            truth.append(y[held])
        self.pool_ = LogLinear().fit(np.concatenate(scores), np.concatenate(truth), np.bincount(y) / len(y))
        self._dictionaries = dictionaries(data, y, len(classes), np.ones(len(y), dtype=np.bool_))
        self.classes_ = classes
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class: (texts, classes) float64; raises NotFittedError before `fit`."""
        if not hasattr(self, "classes_"):
            raise NotFittedError("this Compression is not fitted yet; call fit first")
        return self.pool_.predict_proba(saved([_bytes(text) for text in texts], self._dictionaries))


def dictionaries(
    data: Sequence[bytes], y: NDArray[np.int64], classes: int, keep: NDArray[np.bool_]
) -> list[list[bytes]]:
    """Join the texts of each class and cut them into dictionaries: equally many for every class, at least one."""
    joined = [b"\n".join(data[i] for i in np.flatnonzero(keep & (y == c))) for c in range(classes)]
    # With more dictionaries, a class would have finer code lengths and a lower minimum.
    number = min(DICTIONARIES, max(1, min(len(whole) for whole in joined) // WINDOW))
    return [[whole[i * WINDOW : (i + 1) * WINDOW] for i in range(number)] for whole in joined]


def saved(data: Sequence[bytes], known: Sequence[Sequence[bytes]]) -> NDArray[np.float64]:
    """Negative code lengths of each text under each class in bytes, mean and minimum: (texts, classes, 2)."""
    found = np.zeros((len(data), len(known), 2))
    for c, members in enumerate(known):
        primed = [_primed(dictionary) for dictionary in members]
        for i, text in enumerate(data):
            lengths = [_code_length(compressor, text) for compressor in primed]
            found[i, c] = -sum(lengths) / len(lengths), -min(lengths)
    return found


def _primed(dictionary: bytes) -> Any:
    # Negative window bits mean raw DEFLATE, without header and checksum.
    return zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)


def _code_length(primed: Any, text: bytes) -> int:
    compressor = primed.copy()  # to index the dictionary again for every text would take most of the time
    return len(compressor.compress(text)) + len(compressor.flush())


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def build(seed: int) -> Compression:
    """Build an unfitted attributor."""
    return Compression(seed)
