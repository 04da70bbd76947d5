"""Claims about factors on real models: many runs of one recipe, to which levels are given at random.

The models are those of the task `null_factor_id` at `quick`, with twelve replicates: 36 runs that differ in their seeds
alone. They are trained once, about half an hour on two cores, and kept in the store. Whatever levels they are given,
there is no factor, and held-out runs must be named no better than by chance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from validity_factors import LEVELS, PERMUTATIONS, coverage, design, size
from validity_sources import Amount, Row

from natfp_bench import api
from natfp_bench.attributors.factor_test import Counted, permuted
from natfp_bench.attributors.study import Texts
from natfp_bench.pipeline.local_engine import LocalEngine
from natfp_bench.pipeline.run import Run
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store, default_root
from natfp_bench.plan.split import UNSEEN_REPLICATE, folds, test_rows
from natfp_bench.statistics import replication
from natfp_bench.statistics.intervals import Floats, Ints

REPLICATES = (3, 5, 10)
MARGINS = (0.01, 0.02)
"""The margin of the presets, and one that five runs of this recipe are enough for."""

TRAIN, TEST = 1_000, 250


@dataclass(frozen=True)
class Pool:
    """Counts of words of all runs, and the bits of each held-out document under each: (runs, documents)."""

    counted: Counted
    bits: Floats

    def draw(self, runs: Ints) -> Counted:
        """Take some runs, in a new order."""
        rows = [np.flatnonzero(self.counted.source == run) for run in runs]
        source = np.repeat(np.arange(len(runs)), [len(part) for part in rows])
        return replace(
            self.counted,
            learnt=self.counted.learnt[runs],
            asked=self.counted.asked[np.concatenate(rows)],
            source=source,
        )


@cache
def pool() -> Pool:
    """Train the models and draw their texts, or find them in the store."""
    overrides = {"replicates": "12", "analysis.transfer": "false"}
    plan = api.plan_task("null_factor_id", "quick", overrides=overrides)
    store = Store(default_root())
    engine = LocalEngine(os.cpu_count() or 1)
    evidence = Run(plan, [], Schedule(store, engine, "cpu", lambda _: None)).gather()
    parts: dict[bool, list[Texts]] = {True: [], False: []}
    for run_number, of in enumerate(evidence.kept):
        table = read_table(store, of.samples, plan.texts)
        test = test_rows(table["prompt"].to_numpy(), plan.split)
        for side, most in ((False, TRAIN), (True, TEST)):
            texts = table["text"].filter(test == side).to_pylist()[:most]
            parts[side].append(Texts(texts, np.full(len(texts), run_number), np.arange(len(texts))))
    train, asked = (
        Texts(
            [text for part in parts[side] for text in part.texts],
            np.concatenate([part.source for part in parts[side]]),
            np.concatenate([part.prompts for part in parts[side]]),
        )
        for side in (False, True)
    )
    bits = np.stack([evidence.heldout(of)["bits"].to_numpy() for of in evidence.kept])
    return Pool(Counted.of(train, asked, len(evidence.kept)), bits)


def drawn(replicates: int, amount: Amount) -> Iterator[tuple[int, Ints, Counted]]:
    """Draw runs at random and give them levels and replicates at random."""
    known = pool()
    for experiment in range(amount.pool):
        order = np.random.default_rng([experiment, replicates, 4]).permutation(len(known.bits))
        runs = order[: LEVELS * replicates]
        yield experiment, runs, known.draw(runs)


def pool_coverage(replicates: int, amount: Amount) -> Iterator[Row]:
    """Coverage of the interval over held-out runs; size of the permutation test, and its promised spread."""
    levels, blocks = design(replicates)
    by_fold, p, promised = [], [], []
    for experiment, _, counted in drawn(replicates, amount):
        fits = folds(UNSEEN_REPLICATE, blocks)
        by_fold.append([float(counted.accuracies(fold, levels[None])[0]) for fold in fits])
        if replicates < 10:
            found = permuted(counted, levels, blocks, fits, PERMUTATIONS if replicates > 3 else 99, experiment)
            p.append(found.test.p)
            promised.append(found.spread)
    values = np.array(by_fold)
    what = f"{replicates} runs per level of one recipe"
    # So few texts say little of the runs that wrote them: their noise is independent, and the interval rather wide.
    yield from coverage(what, values, 1 / LEVELS, wide=True)
    if p:
        yield size(f"permutation test, {what}", np.array(p))
        true, said = float(values.mean(axis=1).std()), float(np.sqrt(np.mean(np.square(promised))))
        yield Row(
            f"spread of the mean accuracy by permuted labels, {what}",
            f"{true:.4f}",
            f"{said:.4f}",
            "within a tenth",
            abs(said / true - 1) < 0.1,
        )


def pool_equivalence(replicates: int, margin: float, amount: Amount) -> Iterator[Row]:
    """Answers to "are the levels equally good?" for levels that are; runs of this recipe scatter by 0.7%."""
    levels, blocks = design(replicates)
    names = [str(level) for level in levels]
    found = [
        replication.equivalence(pool().bits[runs], names, blocks, margin) for _, runs, _ in drawn(replicates, amount)
    ]
    answers = [one.answer for one in found if one]
    share = {answer: answers.count(answer) / len(answers) for answer in ("equally good", "not equally good")}
    what = f"levels of one recipe, {replicates} runs each, margin {margin:.0%}"
    seen, power = share["not equally good"], share["equally good"]
    if margin == MARGINS[0]:
        shown = f"{seen:.4f} ('equally good': {power:.4f})"
        yield Row(f"{what}: answered 'not equally good'", "0.05 or less", shown, "at most 0.05", seen <= 0.05)
    else:
        yield Row(
            f"{what}: answered 'equally good' (power)", "0.8 or more", f"{power:.4f}", "at least 0.8", power >= 0.8
        )
