"""What an attributor reads of the evidence that is there: by type of token, by position, and over many texts.

The likelihoods say how many bits each token gives for its source. An attributor answers for whole texts alone. Its
log-odds are regressed on the evidence in each part of the text, so that nothing of how it works need be known.

Shapes, for n texts and k classes of one variant each: `proba` (n, k), rows sum to one; `truth` (n,) int; `prompts`
(n,) int; `token_log_likelihood` k arrays (n, L) float in nats, -inf if a token is impossible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base import streams
from natfp_bench.base.records import Record
from natfp_bench.corpus.words import WORD_TYPES

from . import per_text
from .curves import crossing
from .intervals import Floats, Interval, Ints

FEWEST = 20
"""Groups of texts of each class, at least, for an accuracy over groups."""

SURE = 0.99
"""Accuracy at which the source of a group of texts counts as known."""

LEAST = 2.0**-50
"""Probabilities count as at least this, so that evidence is finite."""


class PartRead(Record):
    """How much of the evidence in one part of the texts an attributor reads.

    share: its bits for each bit that is there; bits_share: the part's share of all bits that are there.
    """

    part: str
    share: Interval
    bits_share: float


class Reading(Record):
    """What one attributor reads of the evidence.

    texts_to_99: texts of one source, judged together, with which 0.99 of the guesses are right; None if `most_texts`,
    the largest group that there were enough of, are too few. whole: over all tokens.
    """

    attributor: str
    whole: PartRead
    by_type: tuple[PartRead, ...]
    by_position: tuple[PartRead, ...]
    texts_to_99: float | None
    most_texts: int


class Parts(NamedTuple):
    """A division of tokens: names of the parts, and the part of each token, (n, L) int; beyond a text it is any."""

    names: Sequence[str]
    of_token: Ints


def by_type(types: Sequence[Sequence[str]], width: int) -> Parts:
    """Divide tokens by type, from the types of each text's tokens."""
    index = {kind: i for i, kind in enumerate(WORD_TYPES)}
    found = np.zeros((len(types), width), dtype=np.int64)
    for row, kinds in zip(found, types, strict=True):
        row[: len(kinds)] = [index[kind] for kind in kinds]
    return Parts(WORD_TYPES, found)


def by_position(n: int, width: int) -> Parts:
    """Divide tokens by position: 1, 2, 3-4, 5-8 and so on, each part as long as all before it."""
    part = np.array([position.bit_length() for position in range(width)], dtype=np.int64)
    spans = [np.flatnonzero(part == i) + 1 for i in range(part.max(initial=0) + 1)]
    names = [str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans]
    return Parts(names, np.broadcast_to(part, (n, width)))


def evidence(token_log_likelihood: Sequence[NDArray[Any]], lengths: Ints, parts: Parts) -> list[Floats]:
    """Nats of each text in each part, under each class: k arrays (n, parts)."""
    n, width = parts.of_token.shape
    within = np.arange(width) < np.asarray(lengths)[:, None]
    place = (np.arange(n)[:, None] * len(parts.names) + parts.of_token)[within]
    size = n * len(parts.names)
    sums = (np.bincount(place, np.asarray(one)[within], size) for one in token_log_likelihood)
    return [np.asarray(one, dtype=np.float64).reshape(n, len(parts.names)) for one in sums]


def parts_read(
    names: Sequence[str], found: Sequence[Floats], proba: Floats, truth: Ints, prompts: Ints
) -> list[PartRead]:
    """How many bits an attributor reads for each bit of evidence in each part; found: from `evidence`.

    For a text of source s and a rival r, the attributor's log2 p(s)/p(r) is regressed on those of the likelihoods in
    each part, without a constant: where there is no evidence, classes are equally likely. Least squares over all pairs
    of text and rival, with 95% intervals whose errors are clustered by prompt (Liang and Zeger, Biometrika 73, 1986).
    Pairs are left out whose text the rival could not write.
    """
    width = len(names)
    square, product, total = np.zeros((width, width)), np.zeros(width), np.zeros(width)
    for x, y, _ in _pairs(found, proba, truth):
        square += x.T @ x
        product += x.T @ y
        total += x.sum(axis=0)
    there = np.flatnonzero(np.diagonal(square) > 0)
    if not len(there):
        return []
    inverse = np.linalg.pinv(square[np.ix_(there, there)], hermitian=True)
    shares = inverse @ product[there]
    unit = np.unique(prompts, return_inverse=True)[1]
    clusters = int(unit.max()) + 1
    scores = np.zeros((clusters, len(there)))
    for x, y, rows in _pairs(found, proba, truth):
        np.add.at(scores, unit[rows], x[:, there] * (y - x[:, there] @ shares)[:, None])
    spread = inverse @ (scores.T @ scores) @ inverse * clusters / max(clusters - 1, 1)
    half = 1.96 * np.sqrt(np.diagonal(spread))
    made = {
        int(j): Interval(
            value=float(share),
            low=float(share - wide) if clusters > 1 else None,
            high=float(share + wide) if clusters > 1 else None,
            method="clustered least squares",
            units="prompts",
            n_units=clusters,
        )
        for j, share, wide in zip(there, shares, half, strict=True)
    }
    whole = math.fsum(total)
    return [
        PartRead(part=name, share=made[j], bits_share=float(total[j]) / whole if whole else 0.0)
        for j, name in enumerate(names)
        if j in made
    ]


def _pairs(found: Sequence[Floats], proba: Floats, truth: Ints) -> Iterator[tuple[Floats, Floats, Ints]]:
    """Pairs of the texts of one class with one rival: bits of the parts, bits of the attributor, and row numbers."""
    logs = np.log2(np.maximum(proba, LEAST))
    for own in range(len(found)):
        rows = np.flatnonzero(truth == own)
        for rival in range(len(found)):
            if rival != own:
                x = (found[own][rows] - found[rival][rows]) / math.log(2.0)
                can = np.isfinite(x).all(axis=1)
                yield x[can], (logs[rows, own] - logs[rows, rival])[can], rows[can]


def texts_to(proba: Floats, truth: Ints, height: float, seed: int) -> tuple[float | None, int]:
    """Texts of one class that must be judged together until an accuracy is reached, and the largest group tried.

    The classes' log-probabilities are added up over disjoint groups of random texts, 1, 2, 3, 4, 6, 8, 12 and so on in
    each. Between two sizes it is interpolated over their logarithm.
    """
    logs, points = np.log(np.maximum(proba, LEAST)), []
    orders = [rows[streams.permutation(len(rows), "texts together", seed, k)] for k, rows in _by_class(truth)]
    least = min(len(order) for order in orders)
    most = max(1, least // FEWEST)
    sizes = sorted({step << i for i in range(most.bit_length()) for step in (1, 3) if step << i <= most})
    for size in sizes:
        credit = []
        for k, order in enumerate(orders):
            groups = order[: len(order) // size * size].reshape(-1, size)
            joint = logs[groups].sum(axis=1)
            credit.append(per_text.credits(joint, np.full(len(groups), k)).mean())
        points.append((float(size), float(np.mean(credit))))
    return crossing(points, height), sizes[-1]


def _by_class(truth: Ints) -> Iterator[tuple[int, Ints]]:
    for k in range(int(truth.max()) + 1):
        yield k, np.flatnonzero(truth == k)


def read(
    attributor: str,
    proba: Floats,
    truth: Ints,
    prompts: Ints,
    divided: Sequence[tuple[Sequence[str], Sequence[Floats]]],
    seed: int,
) -> Reading | None:
    """What an attributor reads; divided: names and evidence by type and by position. None if there is no evidence."""
    (types, of_types), (positions, of_positions) = divided
    together = [one.sum(axis=1, keepdims=True) for one in of_types]
    whole = parts_read(["all"], together, proba, truth, prompts)
    if not whole:
        return None
    reached, most = texts_to(proba, truth, SURE, seed)
    return Reading(
        attributor=attributor,
        whole=whole[0],
        by_type=tuple(parts_read(types, of_types, proba, truth, prompts)),
        by_position=tuple(parts_read(positions, of_positions, proba, truth, prompts)),
        texts_to_99=reached,
        most_texts=most,
    )
