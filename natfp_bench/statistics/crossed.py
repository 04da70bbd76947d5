"""Crossed designs: how much of the difference between models is due to each of their seeds.

The models of a crossing are the cells of a grid: every value of one seed with every value of each other seed. For one
token of a text, let x be its log2-probability under each model, as tokens of other texts would have it too: it varies
from model to model, and its variance has a part that models with one value of a seed share (a main effect) and a part
that belongs to the single model (interactions of the seeds, and whatever else a run of its own brings).

**Estimand.** The expectation, over tokens of texts by models of this recipe, of these parts of the variance over
*other* models of it, that share no seed with the writer. A text is likelier under its own model and under models like
it, and to score it there would put that preference into the parts. So all cells that share a value with the writer (its
row and its column) are left out for its texts. All cells write equally many texts; each token has the same weight.

**Estimate.** With C_S the mean, over pairs of cells that agree in the seeds S and in no other, of the product of their
values, seed A's part is C_A - C_none, the whole is C_all - C_none, and the interaction is the whole minus the parts of
all seeds. These are the unbiased components of variance from mean squares, for balanced data (Searle, Casella and
McCulloch 1992, chapter 4), written as U-statistics; they need no normal distribution. They may be negative by chance.

**Interval.** Values of a seed are few, and models share them, so the units are the values: each value of each seed is
left out once, with all its models, as writers and as judges. The variances of the jackknife (Tukey 1958) are added up
over the seeds; the quantile is Student's for the seed with the fewest values. As with Owen's pigeonhole bootstrap
(Annals of Applied Statistics 1, 2007), the sum counts the interaction more than once, so the interval is wider than it
has to be. (That bootstrap itself is no choice here: a value that is drawn twice makes pairs of a model with itself.)
`benchmarks/validity.py` simulates the coverage. With three values of a seed, no pairs are left without one, and there
is no interval.

Shapes: V models, F seeds; `cells` (V, F) int, the value of each seed of each model; `token_log_likelihood` V arrays
(n, L) float, nats of each token of every text; `source` (n,) int, the model that wrote it; `lengths` (n,) int.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.records import Record
from natfp_bench.corpus.words import WORD_TYPES

from .intervals import FEWEST_UNITS, Floats, Interval, Ints, jackknife_error, student_quantile

REST = "interaction"
"""Name of the part that no seed has for itself."""

UNITS = "values of a seed"
"""What intervals are about: other values of the seeds."""

FEWEST_FOR_INTERVAL = FEWEST_UNITS + 1
"""Values of each seed from which on parts have intervals: without one value, there must still be pairs."""


class VariancePart(Record):
    """One part of the variance: of a seed, or `interaction`. share: of the whole; variance: in squared bits per token.

    Estimates are not clipped: a part that is nothing may be slightly negative. The share itself is between 0 and 1, so
    its interval is cut there.
    """

    part: str
    share: Interval
    variance: float


class Parts(Record):
    """The parts of the variance between models, for some tokens.

    which: a type of token, positions (`5-8`; the first is 1), or `all`. tokens: how many were scored. whole: the
    variance of a token's log2-probability over models, in squared bits. impossible: tokens that are left out because
    some model could not write them.
    """

    which: str
    tokens: int
    impossible: int
    whole: float
    parts: tuple[VariancePart, ...]


class Variance(Record):
    """The parts of the variance between models: of all tokens, by type of token, and by position in the text."""

    whole: Parts
    by_type: tuple[Parts, ...]
    by_position: tuple[Parts, ...]


@dataclass(frozen=True)
class Products:
    """Sums of products over tokens, by the model that wrote them: sums (V, V, V), tokens (V,), impossible (V,).

    sums[s, c, d]: over the tokens of model s, of the values under models c and d, each less the mean of the token.
    """

    sums: Floats
    tokens: Ints
    impossible: Ints


def variance(
    token_log_likelihood: Sequence[NDArray[Any]],
    source: Ints,
    lengths: Ints,
    types: Sequence[Sequence[str]],
    cells: Ints,
    names: Sequence[str],
) -> Variance | None:
    """Divide the variance between models into parts; names (F,): those of the seeds; types: of each text's tokens.

    Groups of tokens whose parts are not known (`decompose`) are left out; None if those of all tokens are not. Raises
    ValueError if the cells are no grid, or if the types do not fit the lengths.
    """
    if not is_grid(cells):
        raise ValueError("a crossing has one model for every combination of its seeds' values")
    if [len(row) for row in types] != np.asarray(lengths).tolist():
        raise ValueError("every token needs a type: the types of some text do not fit its length")
    shape = np.shape(token_log_likelihood[0])
    type_at = np.zeros(shape, dtype=np.int64)
    index = {kind: i for i, kind in enumerate(WORD_TYPES)}
    type_at[np.arange(shape[1]) < np.asarray(lengths)[:, None]] = [index[kind] for row in types for kind in row]
    # Positions 1, 2, 3-4, 5-8 and so on: the number of bits of the one before.
    bins = np.array([position.bit_length() for position in range(shape[1])], dtype=np.int64)
    by_type = products(token_log_likelihood, source, lengths, type_at, cells)
    by_position = products(token_log_likelihood, source, lengths, np.broadcast_to(bins, shape), cells)
    whole = decompose("all", _together([*by_position.values()]), cells, names)
    if whole is None:
        return None
    positions = {i: np.flatnonzero(bins == i) + 1 for i in by_position}
    return Variance(
        whole=whole,
        by_type=_known(decompose(WORD_TYPES[i], found, cells, names) for i, found in by_type.items()),
        by_position=_known(decompose(_span(positions[i]), found, cells, names) for i, found in by_position.items()),
    )


def _known(found: Iterable[Parts | None]) -> tuple[Parts, ...]:
    return tuple(one for one in found if one)


def _span(positions: Ints) -> str:
    first, last = int(positions.min()), int(positions.max())
    return f"{first}-{last}" if last > first else f"{first}"


def is_grid(cells: Ints) -> bool:
    """Whether the cells are every combination of the values of at least two seeds, each once."""
    values = [np.unique(column) for column in np.asarray(cells).T]
    every = sorted(itertools.product(*(one.tolist() for one in values)))
    return len(values) > 1 and every == sorted(map(tuple, np.asarray(cells).tolist()))


def held_fixed(cells: Ints, seed: int) -> Ints:
    """See a crossing from one seed: the block of each model, (V,), and -1 for models that are in none.

    A block has every value of the seed once, and its models share all other seeds. With the values of the seed as
    levels and blocks as replicates, this is an ordinary design. With two seeds, a block is one value of the other one.
    With more, blocks must have no value in common, or they would not be independent: block i has the i-th values of
    all other seeds, and the cells off this diagonal are in none.
    """
    others = [np.unique(column, return_inverse=True)[1] for i, column in enumerate(cells.T) if i != seed]
    alike = np.all([other == others[0] for other in others], axis=0)
    return np.where(alike, others[0], -1).astype(np.int64)


def products(
    token_log_likelihood: Sequence[NDArray[Any]], source: Ints, lengths: Ints, groups: Ints, cells: Ints
) -> dict[int, Products]:
    """Sum the products of the models' values, for each group of tokens; groups (n, L) int.

    A token that some model which is compared with its writer cannot write is left out and counted.
    """
    models, length = len(cells), np.asarray(lengths)
    found = {
        int(group): Products(
            np.zeros((models, models, models)), np.zeros(models, dtype=np.int64), np.zeros(models, dtype=np.int64)
        )
        for group in np.unique(groups)
    }
    for writer in range(models):
        rows = np.flatnonzero(np.asarray(source) == writer)
        others = np.flatnonzero(strangers(cells, writer)).tolist()
        if not len(rows) or not others:
            continue
        bits = np.stack([token_log_likelihood[other][rows] for other in others]).astype(np.float64) / math.log(2.0)
        within = np.arange(bits.shape[2]) < length[rows, None]
        possible = within & np.isfinite(bits).all(axis=0)
        for group in np.unique(groups[rows][within]).tolist():
            here = groups[rows] == group
            values = bits[:, here & possible]
            values -= values.mean(axis=0)
            # Not `@`: sums by BLAS depend on the number of threads.
            found[group].sums[writer][np.ix_(others, others)] = np.einsum("vn,wn->vw", values, values)
            found[group].tokens[writer] = values.shape[1]
            found[group].impossible[writer] = int((here & within & ~possible).sum())
    return found


def strangers(cells: Ints, writer: int) -> NDArray[np.bool_]:
    """Which models share no seed with one of them: (V,)."""
    return np.asarray((cells != cells[writer]).all(axis=1))


def _together(of: Sequence[Products]) -> Products:
    """Add up groups of tokens."""
    return Products(
        np.sum([one.sums for one in of], axis=0),
        np.sum([one.tokens for one in of], axis=0),
        np.sum([one.impossible for one in of], axis=0),
    )


def decompose(which: str, of: Products, cells: Ints, names: Sequence[str]) -> Parts | None:
    """Divide the variance into the parts of the seeds, named by `names` (F,), and the interaction.

    None if there are no tokens, if too few models share no seed with a writer, or if models do not differ at all.
    """
    everybody = np.ones(len(cells), dtype=np.bool_)
    whole = _components(of, cells, everybody)
    if whole is None or whole.sum() <= 0:
        return None
    shares = _shares(whole)
    values = [len(np.unique(column)) for column in cells.T]
    spread: list[Floats] | None = [] if min(values) >= FEWEST_FOR_INTERVAL else None
    for seed in range(len(names)) if spread is not None else ():
        without = [_components(of, cells, cells[:, seed] != value) for value in np.unique(cells[:, seed]).tolist()]
        if any(one is None or one.sum() <= 0 for one in without) or spread is None:
            spread = None
            break
        left_out = np.array([_shares(one) for one in without if one is not None])
        spread.append(np.array([jackknife_error(column.tolist()) for column in left_out.T]))
    parts = []
    for i, name in enumerate([*names, REST]):
        low = high = None
        if spread is not None:
            half = student_quantile(min(values) - 1) * math.sqrt(math.fsum(one[i] ** 2 for one in spread))
            low, high = (float(np.clip(end, 0.0, 1.0)) for end in (shares[i] - half, shares[i] + half))
        method = "none" if spread is None else "jackknife t"
        share = Interval(value=float(shares[i]), low=low, high=high, method=method, units=UNITS, n_units=min(values))
        parts.append(VariancePart(part=name, share=share, variance=float(whole[i])))
    return Parts(
        which=which,
        tokens=int(of.tokens.sum()),
        impossible=int(of.impossible.sum()),
        whole=float(whole.sum()),
        parts=tuple(parts),
    )


def _shares(components: Floats) -> Floats:
    return np.asarray(components / components.sum())


def _components(of: Products, cells: Ints, kept: NDArray[np.bool_]) -> Floats | None:
    """Parts of the variance by seed, then the interaction: (F + 1,), from the models that are kept.

    None if a model that wrote tokens has too few others to compare them with.
    """
    agree = cells[:, None] == cells[None]
    number, seeds = agree.sum(axis=2), cells.shape[1]
    patterns = [number == 0, *(agree[:, :, seed] & (number == 1) for seed in range(seeds)), number == seeds]
    writers = np.flatnonzero(kept & (of.tokens > 0))
    total = np.zeros(len(patterns))
    for writer in writers.tolist():
        judges = kept & strangers(cells, writer)
        pairs = judges[:, None] & judges[None]
        counts = [int((pairs & pattern).sum()) for pattern in patterns]
        if min(counts) == 0:
            return None
        sums = of.sums[writer]
        total += [math.fsum(sums[pairs & one]) / n for one, n in zip(patterns, counts, strict=True)]
    if not len(writers):
        return None
    none, *mains, whole = (total / of.tokens[writers].sum()).tolist()
    found = [main - none for main in mains]
    return np.array([*found, whole - none - math.fsum(found)])
