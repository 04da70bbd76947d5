"""Crossings of seeds: planted parts of the variance between models, and a seed that does nothing beside one that does.

Each simulated experiment is a grid of 4 x 4 models, as in `seeds_crossed`. A model's log-probability of a token is the
sum of what its initialisation, its data order and the model itself do to the token. Tokens load on a few directions in
which models differ: models that differ in one direction are hardly more than sixteen numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.sparse import csr_array
from validity_factors import LENGTH, TEST, TRAIN, VOCABULARY, band, holds, size
from validity_sources import Amount, Row

from natfp_bench.attributors.factor_test import Counted, permuted
from natfp_bench.plan.split import UNSEEN_REPLICATE, folds
from natfp_bench.statistics import crossed, intervals
from natfp_bench.statistics.intervals import Interval, Ints

VALUES = 4
CELLS = np.array([*itertools.product(range(VALUES), repeat=2)], dtype=np.int64)

SHARES = {
    "small parts": (0.08, 0.04, 0.88),
    "one seed does nothing": (0.0, 0.2, 0.8),
    "large parts": (0.6, 0.3, 0.1),
}
"""Shares of the two seeds and of single models."""

DIRECTIONS = (1, 3, 10, 100)
TOKENS = 200
"""Directions in which models differ, and tokens of each model's text."""

PARTS_OF_TOKENS = 10
"""Parts of the tokens that are left out in turn by the interval that must fail."""

RELABELINGS = 199


def products(
    experiment: int, shares: tuple[float, float, float], directions: int, groups: Ints
) -> dict[int, crossed.Products]:
    """Draw the models of one experiment, and read their texts as a result does; groups (TOKENS,)."""
    drawn, fixed = np.random.default_rng([experiment, directions, 6]), np.random.default_rng(directions)
    effects = [np.sqrt(share) * drawn.normal(size=(n, directions)) for share, n in zip(shares, (4, 4, 16), strict=True)]
    models = effects[0][CELLS[:, 0]] + effects[1][CELLS[:, 1]] + effects[2]
    loads = fixed.normal(size=(len(CELLS), TOKENS, directions)) / np.sqrt(directions)
    scores = [loads @ model for model in models]
    source, lengths = np.arange(len(CELLS)), np.full(len(CELLS), TOKENS)
    return crossed.products(scores, source, lengths, np.broadcast_to(groups, (len(CELLS), TOKENS)), CELLS)


def parts(of: crossed.Products) -> crossed.Parts:
    """Divide the variance, as a result does."""
    found = crossed.decompose("all", of, CELLS, ("init", "order"))
    if found is None:
        raise ValueError("the planted models do not differ")
    return found


def parts_coverage(case: str, directions: int, amount: Amount) -> Iterator[Row]:
    """Coverage of the intervals of all three shares: that of the worst."""
    held, groups = np.zeros(3), np.zeros(TOKENS, dtype=np.int64)
    for experiment in range(amount.folds):
        (of,) = products(experiment, SHARES[case], directions, groups).values()
        held += [holds(part.share, truth) for part, truth in zip(parts(of).parts, SHARES[case], strict=True)]
    low, _ = band(amount.folds)
    seen = float(held.min()) / amount.folds
    many = f"{directions} direction{'s' * (directions > 1)}"
    yield Row(f"parts of a crossing, {case}, {many}", "0.95", f"{seen:.4f}", f"{low:.4f} to 1.0000", low <= seen)


def tokens_as_units(amount: Amount) -> Iterator[Row]:
    """The interval that takes tokens as independent, although they are of the same sixteen models."""
    case, groups, held = "large parts", np.arange(TOKENS) % PARTS_OF_TOKENS, 0
    n = amount.folds // 4
    for experiment in range(n):
        each = [parts(of) for of in products(experiment, SHARES[case], 10, groups).values()]
        own, whole = np.array([one.parts[0].variance for one in each]), np.array([one.whole for one in each])
        without = ((own.sum() - own) / (whole.sum() - whole)).tolist()
        held += holds(intervals.jackknife(float(own.sum() / whole.sum()), without, "tokens"), SHARES[case][0])
    seen = held / n
    what = f"the same, {case}, 10 directions, with tokens as units (must fail)"
    yield Row(what, "too narrow", f"{seen:.4f}", "below 0.93", seen < 0.93)


def one_seed(amount: Amount) -> Iterator[Row]:
    """Guessing a seed that does nothing, on held-out values of one that does much: interval, and permutation test."""
    levels, blocks = CELLS.T
    found, p = list[Interval](), []
    for experiment in range(amount.nulls):
        fixed, drawn = np.random.default_rng(7), np.random.default_rng([experiment, 7])
        logits = fixed.normal(size=VOCABULARY) + 0.5 * drawn.normal(size=(VALUES, VOCABULARY))[blocks]
        frequencies = np.exp(logits + 0.3 * drawn.normal(size=logits.shape))
        frequencies /= frequencies.sum(axis=1, keepdims=True)
        learnt = np.stack([drawn.multinomial(TRAIN * LENGTH, row) for row in frequencies]).astype(np.float64)
        asked = np.concatenate([drawn.multinomial(LENGTH, row, size=TEST) for row in frequencies]).astype(np.float64)
        counted = Counted(csr_array(learnt), csr_array(asked), np.repeat(np.arange(len(CELLS)), TEST))
        made = folds(UNSEEN_REPLICATE, blocks)
        found.append(intervals.fold_interval([float(counted.accuracies(fold, levels[None])[0]) for fold in made]))
        p.append(permuted(counted, levels, blocks, made, RELABELINGS, experiment).test.p)
    low, _ = band(amount.nulls)
    seen = float(np.mean([holds(one, 1 / VALUES) for one in found]))
    what = "accuracy for a seed that does nothing, on unseen values of one that does"
    yield Row(what, "0.95", f"{seen:.4f}", f"{low:.4f} to 1.0000", low <= seen)
    yield size("permutation test of a seed that does nothing, beside one that does", np.array(p))


PARTS: list[Callable[[Amount], Iterator[Row]]] = [
    *(partial(parts_coverage, case, directions) for case in SHARES for directions in DIRECTIONS),
    tokens_as_units,
    one_seed,
]
