"""Named, counter-based random streams.

A draw is a pure function of its stream's name and its place in the stream. Who computes it, when, and what was
computed before do not matter. The generator is Philox (Salmon et al., 2011): its definition fixes its raw bits, and
only raw bits are used here, so no version of a library can change a draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .records import canonical_json

Name = str | int


def _key(name: Sequence[Name]) -> bytes:
    return hashlib.sha256(canonical_json(list(name)).encode()).digest()


def seed(*name: Name) -> int:
    """Seed of a named stream, for generators that take one integer: 63 bits, the range that torch accepts."""
    return int.from_bytes(_key(name)[:8], "little") >> 1


def raw(n: int, *name: Name, row: int = 0) -> NDArray[np.uint64]:
    """First n 64-bit words of row `row` of the stream: (n,) uint64. Rows never overlap."""
    key = np.frombuffer(_key(name)[:16], dtype="<u8")
    return np.asarray(np.random.Philox(key=key, counter=[0, 0, row, 0]).random_raw(n), dtype=np.uint64)


def uniforms(rows: Sequence[int], width: int, *name: Name) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), 53 bits each: (rows, width) float64, one stream row per row."""
    words = np.stack([raw(width, *name, row=row) for row in rows]) if len(rows) else np.empty((0, width), np.uint64)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(n: int, *name: Name) -> NDArray[np.int64]:
    """Draw a uniform permutation of range(n): the sort order of n random words, (n,) int64."""
    return np.argsort(raw(n, *name), kind="stable")
