"""Crossed factors: a task may cross its nuisance seeds, so that each level is one cell of a grid.

A task of one factor lists its levels. A crossing lists the values of each seed, and every combination becomes a level:

    crossed: {seeds.init: [0, 1, 2, 3], seeds.data_order: [0, 1, 2, 3]}

Only nuisance seeds can be crossed. Whatever a cell's models are, they were made by one recipe on the same data, so "one
factor varies" still holds: the factor is which run of the recipe it is, and the crossing says what runs share.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from natfp_bench.base.errors import did_you_mean
from natfp_bench.base.yaml_source import Key, YamlSource

from .fields import MAX_LEVELS

SHORT = {"seeds.init": "init", "seeds.data_order": "order", "seeds.dropout": "dropout"}
"""What can be crossed, with the word for it in the names of levels."""

FEWEST_VALUES = 3
"""Values of each seed: a text is scored by models that share no seed with its writer, and two values must be left."""

AT: Key = ("factor", "crossed")

MADE, MEANINGLESS = ("fields", "levels"), ("ordered", "matched", "own_seeds")
"""Keys of a factor that a crossing makes, and those that mean nothing for it."""


def expanded(source: YamlSource) -> YamlSource:
    """Add to a task's crossing the fields and levels that it stands for; other tasks stay as they are.

    A level has the name of its cell, such as `init0-order2`. Faults of the crossing become faults of the source. A
    sound crossing then stands in for the faulty one, so that the rest of the file can still be checked.
    """
    factor = source.data.get("factor")
    if not isinstance(factor, dict) or "crossed" not in factor:
        return source
    unread = any(key[: len(AT)] == AT for key in source.unsound)
    found = [] if unread else [source.fault(*fault) for fault in _faults(factor)]
    if unread or found:
        factor = {key: value for key, value in factor.items() if key not in (*MADE, *MEANINGLESS)}
        factor["crossed"] = {path: [*range(FEWEST_VALUES)] for path in [*SHORT][:2]}
    crossed: dict[str, list[int]] = factor["crossed"]
    levels = {
        "-".join(f"{SHORT[path]}{value}" for path, value in zip(crossed, cell, strict=True)): dict(
            zip(crossed, cell, strict=True)
        )
        for cell in itertools.product(*crossed.values())
    }
    place = source.place(AT)
    made = {"fields": [*crossed], "levels": levels}
    return replace(
        source,
        faults=(*source.faults, *found),
        data={**source.data, "factor": {**factor, **made}},
        where={**source.where, **{("factor", name): place for name in made}},
    )


def _faults(factor: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """Everything that is wrong with a crossing, each with its place."""
    for key in MADE:
        if key in factor:
            yield ("factor", key), f"factor.crossed makes the {key}; leave out factor.{key}"
    for key in MEANINGLESS:
        if factor.get(key):
            yield ("factor", key), f"the cells of a crossing are seeds, so factor.{key} has no meaning; leave it out"
    crossed = factor["crossed"]
    if not isinstance(crossed, dict) or not crossed:
        yield AT, "factor.crossed must be a mapping of seeds to their values, such as seeds.init: [0, 1, 2]"
        return
    for path, values in crossed.items():
        yield from _value_faults(path, values)
    if len(crossed) == 1:
        what = f"{next(iter(crossed))!r} alone is no crossing: add another seed, or write factor.fields and levels"
        yield AT, what
    cells = math.prod(len(values) for values in crossed.values() if isinstance(values, list))
    if cells > MAX_LEVELS:
        yield AT, f"{cells:,} cells are too many, {MAX_LEVELS} are allowed: take fewer values"


def _value_faults(path: str, values: object) -> Iterator[tuple[Key, str]]:
    key = (*AT, path)
    if path not in SHORT:
        known = ", ".join(SHORT)
        yield key, f"{path!r} cannot be crossed{did_you_mean(path, SHORT)}: only nuisance seeds can be ({known})"
    if not isinstance(values, list):
        yield key, f"the values of {path!r} must be a list of whole numbers, such as [0, 1, 2]"
        return
    for i, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            yield (*key, i), f"a value of {path!r} must be a whole number, 0 or more, and {value!r} is not"
        elif value in values[:i]:
            yield (*key, i), f"{path!r} has the value {value} twice"
    if len(values) < FEWEST_VALUES:
        why = "a text is scored by the models that share no seed with its writer"
        yield (
            key,
            f"{path!r} has {len(values)} values, and each seed of a crossing needs {FEWEST_VALUES} or more: {why}",
        )
