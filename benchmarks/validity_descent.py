"""Simulated descent: p-values against strangers, agreement of trees, and phases of a line, with nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from validity_factors import size
from validity_sources import Amount, Row

from natfp_bench.statistics.intervals import Floats
from natfp_bench.statistics.paired import holm
from natfp_bench.statistics.phases import phases_of, steps_of
from natfp_bench.statistics.power_law import Points
from natfp_bench.statistics.trees import agreement
from natfp_bench.statistics.verification import descent_p

ANCESTORS, STRANGERS, TEXTS = 4, 19, 20

CHEAP = 10
"""So many times as many experiments where one takes no time."""

BASES, DESCENDANTS = 4, 3
"""Ancestors and descendants of a tree."""

MODELS, POINTS = 5, 8
"""Models of a line, and its points."""


class Spread(NamedTuple):
    """Standard deviations of support: between unknown ancestors, between descendants of one, and between texts.

    effect: support that a known ancestor gives to the texts of its descendants.
    """

    ancestor: float
    descendant: float
    text: float
    effect: float = 0.0


WORLDS = {
    "ancestors that differ much": Spread(1.0, 0.2, 1.0),
    "ancestors that differ little": Spread(0.1, 0.4, 1.0),
}


def supports(drawn: np.random.Generator, of: Spread, models: int, truth: int | None = None) -> Floats:
    """Mean support of each ancestor by the texts of descendants of one other ancestor each: (models, ANCESTORS)."""
    found = of.ancestor * drawn.standard_normal((models, ANCESTORS))
    found += of.descendant * drawn.standard_normal((models, ANCESTORS))
    found += of.text / np.sqrt(TEXTS) * drawn.standard_normal((models, ANCESTORS))
    if truth is not None:
        found[:, truth] += of.effect
    return found


def strangers(world: str, amount: Amount) -> Iterator[Row]:
    """A stranger is asked about: one ancestor that was named beforehand, and all of them."""
    of, named, every = WORLDS[world], [], []
    for experiment in range(CHEAP * amount.nulls):
        drawn = np.random.default_rng([experiment, 11])
        single, adjusted = descent_p(supports(drawn, of, 1), supports(drawn, of, STRANGERS))
        named.append(single[0, 0])
        every.append(adjusted[0].min())
    yield size(f"p of descent against {STRANGERS} strangers, one ancestor, {world}", np.array(named))
    yield size(f"the same, the smallest of {ANCESTORS} ancestors, corrected", np.array(every))


def others_as_strangers(amount: Amount) -> Iterator[Row]:
    """Descendants of the other known ancestors instead of strangers: their own ancestors take the support."""
    of, found = Spread(0.5, 0.2, 1.0, effect=2.0), []
    for experiment in range(amount.nulls):
        drawn = np.random.default_rng([experiment, 12])
        relatives = [supports(drawn, of, 1, 1 + number % (ANCESTORS - 1)) for number in range(STRANGERS)]
        relative = np.concatenate(relatives)
        # What one ancestor gains, the others lose: support is a ratio.
        relative -= of.effect / ANCESTORS
        found.append(descent_p(supports(drawn, of, 1), relative)[0][0, 0])
    share = float((np.array(found) <= 0.05).mean())
    what = "the same, against descendants of the other ancestors instead of strangers (must fail)"
    yield Row(what, "too often", f"{share:.4f}", "above 0.07", share > 0.07)


def trees(amount: Amount) -> Iterator[Row]:
    """Models whose distances know nothing of their ancestors: the permutation test of quartets."""
    labels = np.repeat(np.arange(BASES), DESCENDANTS)
    blocks = np.tile(np.arange(DESCENDANTS), BASES)
    shared = np.equal.outer(labels, labels).astype(np.int64)
    p = []
    for experiment in range(amount.nulls // 4):
        places = np.random.default_rng([experiment, 13]).standard_normal((len(labels), 4))
        distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
        found = agreement(distance, shared, labels, blocks, experiment)
        p.append(1.0 if found is None else found.test.p)
    what = f"agreement of a tree with a history that it knows nothing of, {BASES} ancestors of {DESCENDANTS} models"
    yield size(what, np.array(p))


def flat_lines(amount: Amount) -> Iterator[Row]:
    """Lines that neither rise nor fall: how often any step is shown."""
    at, p = 2.0 ** np.arange(POINTS), []
    for experiment in range(CHEAP * amount.nulls):
        own = 1 + 0.1 * np.random.default_rng([experiment, 14]).standard_normal((MODELS, POINTS))
        left_out = [(at, np.delete(own, one, axis=0).mean(axis=0)) for one in range(MODELS)]
        steps = steps_of(Points(at, own.mean(axis=0), left_out, "models"))
        found = phases_of(steps, holm([step.p for step in steps]))
        p.append(min((phase.p for phase in found), default=1.0))
    yield size(f"phases of a flat line, {POINTS} points, {MODELS} models", np.array(p))


PARTS: list[Callable[[Amount], Iterator[Row]]] = [
    *(partial(strangers, world) for world in WORLDS),
    others_as_strangers,
    trees,
    flat_lines,
]
