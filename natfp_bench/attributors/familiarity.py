"""How familiar a text is: an interpolated n-gram model of bytes, for texts in any language.

It does not use the sources of the texts. A text of another corpus, language or genre is unlikely under it. A classifier
cannot say that, because it must choose among the known sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 5
"""Number of preceding bytes on which the probability of a byte depends."""

END = 0xFF
"""Symbol for the end of a text and for what precedes its beginning; it is no byte of UTF-8."""

MOST_BYTES = 4_000_000
"""Most bytes to learn from; if there are more, every second (third, ...) text is used."""

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Counts:
    """N-grams of one order.

    gram: their codes, sorted; count: how often each occurs; context: codes of their contexts, sorted; total, distinct:
    how often each context occurs, and with how many different next bytes. A code contains the bytes of an n-gram with
    the last one lowest, so a shift by one byte gives its context.
    """

    gram: Words
    count: NDArray[np.int64]
    context: Words
    total: NDArray[np.int64]
    distinct: NDArray[np.int64]

    @staticmethod
    def of(codes: Words) -> Counts:
        """Count codes."""
        gram, count = np.unique(codes, return_counts=True)
        context, first = np.unique(gram >> np.uint64(8), return_index=True)
        return Counts(gram, count, context, np.add.reduceat(count, first), np.diff(np.append(first, len(gram))))

    def interpolated(self, codes: Words, shorter: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of each code's last byte after the others, from the probability after one byte less.

        Witten and Bell (1991): the more different bytes follow a context, the more weight the shorter context gets.
        """
        at, known = _find(self.context, codes >> np.uint64(8))
        place, seen = _find(self.gram, codes)
        total, distinct = self.total[at], self.distinct[at]
        mixed = (np.where(seen, self.count[place], 0) + distinct * shorter) / (total + distinct)
        return np.where(known, mixed, shorter)


class ByteNgrams:
    """An n-gram model of the bytes of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Learn from at least one text."""
        step = 1 + sum(map(len, texts)) // MOST_BYTES
        self._orders = [Counts.of(codes) for codes in _codes(*_joined(texts[::step]))]

    def familiarity(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Mean log-probability of each text's bytes and end, in nats per byte: (texts,) float64."""
        if not len(texts):
            return np.empty(0)
        flat, start = _joined(texts)
        probability = np.full(len(flat), 1 / 256)
        for counts, codes in zip(self._orders, _codes(flat, start), strict=True):
            probability = counts.interpolated(codes, probability)
        return np.asarray(np.add.reduceat(np.log(probability), start) / np.diff(np.append(start, len(flat))))


def _joined(texts: Sequence[str]) -> tuple[Words, NDArray[np.int64]]:
    """Bytes of all texts, each with its end, and where each text starts."""
    # A lone surrogate has no UTF-8.
    parts = [text.encode("utf-8", errors="replace") + bytes([END]) for text in texts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return np.frombuffer(b"".join(parts), dtype=np.uint8).astype(np.uint64), np.cumsum(lengths) - lengths


def _codes(flat: Words, start: NDArray[np.int64]) -> Iterator[Words]:
    """Codes of each byte together with no byte before it in its text, with one, and so on up to ORDER."""
    position = np.arange(len(flat)) - np.repeat(start, np.diff(np.append(start, len(flat))))
    code = flat
    yield code
    for back in range(1, ORDER + 1):
        before = np.full(len(flat), END, dtype=np.uint64)
        before[back:] = np.where(position[back:] >= back, flat[:-back], np.uint64(END))
        code = code | (before << np.uint64(8 * back))
        yield code


def _find(codes: Words, wanted: Words) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index of each wanted code among sorted codes, and whether it is there; if not, the index means nothing."""
    at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return at, codes[at] == wanted
