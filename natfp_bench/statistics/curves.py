"""Results of studies of an attributor: accuracy against one quantity, under one condition, or with permuted labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from natfp_bench.base.records import Record

from . import replication, wording
from .intervals import Interval

ENOUGH = 0.95
"""Accuracy at which a source counts as identified."""


class Point(Record):
    """Accuracy at one point of a curve, over all folds and in each of them."""

    at: int
    accuracy: Interval
    by_fold: tuple[float, ...]


class Curve(Record):
    """Accuracy of the reference attributor against one quantity."""

    name: Literal["length", "pooled", "train_texts", "classes"]
    unit: str
    target: Literal["level", "instance"]
    split: str
    points: tuple[Point, ...]


class Wording(Record):
    """How levels differ in their words: the most telling words, and how far their n-grams diverge."""

    telling_words: tuple[wording.TellingWord, ...]
    jensen_shannon: tuple[wording.NgramDivergence, ...]


class Permuted(Record):
    """The permutation test of the factor, which refits naive Bayes on words.

    observed: its mean accuracy on the held-out replicates; spread: standard deviation of the same with permuted labels,
    which is what chance alone would give. Their mean is 1 / k.
    """

    test: replication.PermutationTest
    observed: float
    spread: float


class Side(Record):
    """One seed of a crossing, guessed from texts of models whose other seeds no fit has met.

    seed: its setting; held_out: those of the other seeds. values: how many there are to choose from, each as likely as
    the others. accuracy: of the reference attributor, over the values that are held out, and by_value for each of them.
    permuted: the permutation test, with the seed's labels permuted among models that share the other seeds.
    """

    seed: str
    held_out: tuple[str, ...]
    values: int
    accuracy: Interval
    by_value: tuple[float, ...]
    permuted: Permuted


MIXED = "second half by another source"
"""The condition of texts that begin with their own source and end with one of another level."""

REWRITTEN = "rewritten by another model"
"""Condition of texts that a model which no level has wrote anew, token by token."""


class Robustness(Record):
    """Accuracy of the reference attributor under one condition of the test texts.

    trained_on: `plain` texts as in the scores, or texts `transformed` like those of the test. train_texts: texts per
    variant that it learnt from, the same under each condition and often fewer than for the scores.
    """

    condition: str
    trained_on: Literal["plain", "transformed"]
    train_texts: int
    accuracy: Interval


def powers(last: int, first: int = 1) -> list[int]:
    """Powers of two from `first` to below `last`, and then `last`."""
    return [*(2**i for i in range(last.bit_length()) if first <= 2**i < last), last]


def crossing(points: Sequence[tuple[float, float]], height: float = ENOUGH) -> float | None:
    """The first x at which a curve reaches a height, interpolated over the logarithm of x; None if it never does."""
    before: tuple[float, float] | None = None
    for x, y in points:
        if y >= height:
            if before is None:
                return x
            share = (height - before[1]) / (y - before[1])
            return math.exp(math.log(before[0]) + share * (math.log(x) - math.log(before[0])))
        before = (x, y)
    return None
