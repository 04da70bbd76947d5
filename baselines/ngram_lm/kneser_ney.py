"""Interpolated Kneser-Ney language models of all classes at once, in numpy.

The number of an n-gram follows from the number of its context and its last unit. So the table of one order is an array
with one row per n-gram and one column per class; the last column counts all classes together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

DISCOUNT = np.float32(0.75)
"""Subtracted from each count in favour of the lower order; any value from 0.6 to 0.9 is about as accurate."""

OWN = np.float32(0.8)
"""Weight of the class's own lower order when a model backs off; the rest goes to all classes together."""

CHUNK = 50_000
"""Units scored at once, so that their rows fit into a processor's cache."""


class Units(NamedTuple):
    """Texts as unit numbers, one text after the other, each ended by the unit 0.

    unit, text, place: (units,) number of the unit, number of its text, and how many units of the text precede it.
    """

    unit: Ints
    text: Ints
    place: Ints


def as_units(rows: Sequence[Ints]) -> Units:
    """Join rows of unit numbers, which start at 1, and end each row by 0."""
    lengths = np.array([len(row) + 1 for row in rows], dtype=np.int64)
    ends = np.cumsum(lengths)
    unit = np.zeros(lengths.sum(), dtype=np.int64)
    inside = np.ones(len(unit), dtype=np.bool_)
    inside[ends - 1] = False
    unit[inside] = np.concatenate([np.empty(0, np.int64), *rows])
    return Units(
        unit, np.repeat(np.arange(len(rows)), lengths), np.arange(len(unit)) - np.repeat(ends - lengths, lengths)
    )


class Grams(NamedTuple):
    """The n-gram of one order that ends at each unit: number of its context and its own number, (units,) each."""

    context: Ints
    gram: Ints


class Order(NamedTuple):
    """All different n-grams of one order.

    key: (grams,) sorted; contexts: how many contexts there are; context: (grams,) number of the n-gram's context;
    suffix: (grams,) number of the n-gram without its first unit, in the order below; first: (grams,) whether it begins
    a text.
    """

    key: Ints
    contexts: int
    context: Ints
    suffix: Ints
    first: NDArray[np.bool_]


class Table(NamedTuple):
    """One order of the models: p(unit | context) = share[gram] + left[context] * p of the order below.

    share: (grams + 1, classes + 1), left: (contexts + 1, classes + 1); the last row is for everything unseen.
    """

    share: Floats
    left: Floats

    def apply(self, grams: Grams, below: Floats) -> Floats:
        """Probability of each unit under each class, and under all classes together: (units, classes + 1)."""
        share, left = self.share[grams.gram], self.left[grams.context]
        pooled = share[:, -1:] + left[:, -1:] * below[:, -1:]
        back_off = OWN * below + (1 - OWN) * pooled
        back_off[:, -1:] = below[:, -1:]
        return share + left * back_off


class Inventory:
    """All n-grams of some texts up to an order: numbers the n-grams of any texts, and counts those of its own."""

    def __init__(self, units: Units, kinds: int, order: int) -> None:
        self.units, self.kinds = units, kinds
        self.orders: list[Order] = []
        self.grams: list[Grams] = []
        context, contexts, below = np.zeros_like(units.unit), 1, np.zeros_like(units.unit)
        for n in range(1, order + 1):
            key, gram = np.unique(context * kinds + units.unit, return_inverse=True)
            suffix = np.zeros(len(key), dtype=np.int64)
            suffix[gram] = below
            first = np.zeros(len(key), dtype=np.bool_)
            first[gram] = units.place < n - 1
            self.orders.append(Order(key, contexts, key // kinds, suffix, first))
            self.grams.append(Grams(context, gram))
            context, contexts, below = _next_context(gram, units), len(key) + 1, gram

    def number(self, units: Units) -> list[Grams]:
        """Number the n-grams of other texts, by order; unknown ones get the number after the last one."""
        found = []
        context = np.zeros_like(units.unit)
        for order in self.orders:
            gram = np.full(len(context), len(order.key))
            known = np.flatnonzero(context < order.contexts)
            wanted = context[known] * self.kinds + units.unit[known]
            at = np.searchsorted(order.key, wanted)
            hit = order.key[np.minimum(at, len(order.key) - 1)] == wanted
            gram[known[hit]] = at[hit]
            found.append(Grams(context, gram))
            context = _next_context(gram, units)
        return found

    def models(self, y: Ints, classes: int, keep: NDArray[np.bool_]) -> list[tuple[Table, Table]]:
        """Estimate the models of some texts, given classes y (texts,); returns (as highest, as lower) for each order.

        The highest order counts n-grams. A lower order counts the different units before an n-gram (Kneser and Ney,
        1995), or its occurrences if it begins a text, because nothing precedes it then.
        """
        mine = keep[self.units.text]
        of = y[self.units.text[mine]]
        counts = []
        for order, grams in zip(self.orders, self.grams, strict=True):
            count = np.bincount(grams.gram[mine] * classes + of, minlength=len(order.key) * classes)
            count = count.reshape(-1, classes).astype(np.float32)
            counts.append(np.concatenate([count, count.sum(axis=1, keepdims=True)], axis=1))
        models = []
        for n, order in enumerate(self.orders):
            highest = _table(order, counts[n])
            if n + 1 == len(self.orders):
                models.append((highest, highest))
            else:
                above = self.orders[n + 1]
                before = _add_up(above.suffix, np.sign(counts[n + 1]), len(order.key))
                models.append((highest, _table(order, np.where(order.first[:, None], counts[n], before))))
        return models

    def log_likelihood(
        self, models: Sequence[tuple[Table, Table]], grams: Sequence[Grams], text: Ints
    ) -> NDArray[np.float64]:
        """Log-probability of each text under each class in nats, for the model of each order: (texts, classes, orders).

        text: (units,) text of each unit; every text has at least one unit, its end.
        """
        starts = np.flatnonzero(np.diff(text, prepend=-1))
        width = models[0][0].share.shape[1]
        found = np.empty((len(starts), width - 1, len(models)))
        for one, texts in _chunks(np.append(starts, len(text))):
            p = np.full((one.stop - one.start, width), 1 / self.kinds, dtype=np.float32)
            for n, (highest, lower) in enumerate(models):
                here = Grams(grams[n].context[one], grams[n].gram[one])
                logs = np.log(highest.apply(here, p)[:, :-1], dtype=np.float64)
                found[texts, :, n] = np.add.reduceat(logs, starts[texts] - one.start, axis=0)
                p = lower.apply(here, p)
        return found


def _next_context(gram: Ints, units: Units) -> Ints:
    # The context of a text's first unit is 0, its beginning; n-gram g is context g + 1.
    context = np.zeros_like(gram)
    context[1:] = gram[:-1] + 1
    context[units.place == 0] = 0
    return context


def _table(order: Order, counts: Floats) -> Table:
    total = _add_up(order.context, counts, order.contexts)
    kinds = _add_up(order.context, np.sign(counts), order.contexts)
    left = np.divide(DISCOUNT * kinds, total, out=np.ones_like(total), where=total > 0)
    share = np.maximum(counts - DISCOUNT, 0) / np.maximum(total, 1)[order.context]
    return Table(np.pad(share, ((0, 1), (0, 0))), np.pad(left, ((0, 1), (0, 0)), constant_values=1))


def _add_up(where: Ints, values: Floats, size: int) -> Floats:
    """Sum the rows of values (n, columns) with the same index in where (n,): (size, columns)."""
    ones = np.ones(len(where), dtype=np.float32)
    return np.asarray(csc_matrix((ones, where, np.arange(len(where) + 1)), shape=(size, len(where))) @ values)


def _chunks(bounds: Ints) -> Iterator[tuple[slice, slice]]:
    """Chunks of whole texts with about CHUNK units: slice of the units, and slice of the texts."""
    first = 0
    while first < len(bounds) - 1:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + CHUNK, side="right")) - 1)
        yield slice(int(bounds[first]), int(bounds[last])), slice(first, last)
        first = last
