"""Scores that no honest classifier reaches: above the ceiling, or above chance on a control where nothing can be known.

The ceiling is the best answer to each text by the models' own likelihoods. On texts where a classifier and the ceiling
disagree and one of them is right, no honest classifier is right more often. One that is has labels from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from natfp_bench.pipeline.result import Result, Score
from natfp_bench.pipeline.scoring import CEILING
from natfp_bench.statistics import paired
from natfp_bench.statistics.intervals import Floats, Ints

from .predictions import Predictions, read_predictions

LEVEL = 1e-3
"""Corrected p-value below which a score is suspicious: one honest classifier in a thousand."""


@dataclass(frozen=True)
class Comparison:
    """Credits of a classifier and of the ceiling for the same texts; texts: their names, the same in all tasks."""

    task: str
    what: str
    own: Floats
    best: Floats
    texts: tuple[str, ...]


def suspicions(name: str, found: Sequence[tuple[Result, Path]]) -> list[str]:
    """Say what is suspicious about a baseline's scores; each result with its folder.

    Single tasks and controls are corrected by Holm for their number, together with all tasks at once: there each text
    counts once, by its mean over the tasks that share it. Raises UserError if predictions are missing or damaged.
    """
    compared = [one for result, folder in found for one in _comparisons(name, result, folder)]
    tests: dict[str, float] = {}
    for one in compared:
        gap = float(one.own.mean() - one.best.mean())
        said = f"{one.task}: accuracy {gap:+.3f} above the ceiling ({one.what})"
        tests[said] = paired.paired_p(one.own, one.best, np.arange(len(one.own)), 0)
    if len(compared) > 1:
        own, best, numbers = _pooled(compared)
        gap = float(own.mean() - best.mean())
        tests[f"all tasks: accuracy {gap:+.3f} above the ceiling"] = paired.paired_p(own, best, numbers, 0)
    tests |= dict(_controls(name, [result for result, _ in found]))
    corrected = paired.holm(list(tests.values()))
    return [f"{said}, p = {p:.1g}" for said, p in zip(tests, corrected, strict=True) if p < LEVEL]


def _comparisons(name: str, result: Result, folder: Path) -> Iterator[Comparison]:
    """Compare with the ceiling wherever there is one."""
    read: Predictions | None = None
    keys = {variant.name: variant.key for variant in result.variants}
    for score in result.scores:
        best = _ceiling(result, score)
        if score.attributor.name != name or score.status != "ok" or best is None or result.task.control == "negative":
            continue
        read = read or read_predictions(folder / "result.json")
        own, top = read.of(score), read.of(best)
        rows = zip(own.rows["variant"].to_pylist(), own.rows["row"].to_pylist(), strict=True)
        texts = tuple(f"{keys[variant]}/{row}" for variant, row in rows)
        yield Comparison(result.task.name, f"{score.target}, {score.split}", own.credit, top.credit, texts)


def _ceiling(result: Result, of: Score) -> Score | None:
    """The ceiling on the same texts and classes."""
    asked = (CEILING.name, of.target, of.split)
    return next((one for one in result.scores if (one.attributor.name, one.target, one.split) == asked), None)


def _pooled(compared: Sequence[Comparison]) -> tuple[Floats, Floats, Ints]:
    """Mean credits of each text over the tasks that it is part of."""
    names, number = np.unique(np.array([text for one in compared for text in one.texts]), return_inverse=True)
    often = np.bincount(number)
    own = np.bincount(number, np.concatenate([one.own for one in compared])) / often
    best = np.bincount(number, np.concatenate([one.best for one in compared])) / often
    return own, best, np.arange(len(names))


def _controls(name: str, results: Sequence[Result]) -> Iterator[tuple[str, float]]:
    """p-values of being better than chance on negative controls, where the ceiling is chance, too."""
    for result in results:
        for score in result.scores if result.task.control == "negative" else ():
            best = _ceiling(result, score)
            if score.attributor.name != name or score.log10_p is None or best is None:
                continue
            if math.isclose(best.metrics["accuracy"].value, best.chance, abs_tol=1e-9):
                seen = score.metrics["accuracy"].value
                what = f"{result.task.name}: accuracy {seen:.3f} on a control where only chance can be right"
                yield what, math.pow(10.0, score.log10_p)
