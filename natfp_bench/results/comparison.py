"""Two results side by side: paired where both are about the same texts, otherwise as far as they can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import intervals, paired
from natfp_bench.statistics.intervals import Interval

from .origin import find_result
from .predictions import PredictionFiles, ScoredAnswers

TEXTS = ["variant", "row", "prompt", "fold", "label"]
"""Columns of predictions that say which text an answer is about."""

Relation = Literal["same texts", "other texts", "other question"]
"""`other question`: another task, or other levels; accuracies are then not comparable, only identifiabilities."""


class Compared(Record):
    """One attributor in both results; `difference` is b minus a.

    paired: on the same texts, text by text. p: two-sided, of no difference on these texts; None if it is not paired, or
    if the unit is the replicate. same_code: whether both are the same version of the attributor.
    """

    attributor: str
    split: str
    measure: Literal["accuracy", "identifiability"]
    a: Interval | None
    b: Interval | None
    difference: Interval | None
    paired: bool
    p: float | None
    same_code: bool


class Comparison(Record):
    """Two results, what differs between their protocols, and every attributor that either has."""

    a: str
    b: str
    relation: Relation
    differs: tuple[str, ...]
    notes: tuple[str, ...]
    scores: tuple[Compared, ...]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two results, given as files or as folders of one run each; raises UserError if one cannot be read."""
    paths = find_result(first), find_result(second)
    a, b = (results.read(path) for path in paths)
    differs = tuple(_differing(a, b))
    relation: Relation = "same texts"
    if (a.task.name, a.factor.levels) != (b.task.name, b.factor.levels):
        relation = "other question"
    elif a.protocol_digest != b.protocol_digest or _texts(a) != _texts(b):
        relation = "other texts"
    files, notes, found = PredictionFiles(), [], []
    for key, pair in _pairs(a, b, roles=relation == "other question").items():
        one = None
        if relation == "same texts" and all(pair):
            try:
                one = _paired(key, (paths[0], pair[0]), (paths[1], pair[1]), a.seed, files)  # type: ignore[arg-type]
            except UserError as error:
                notes.append(f"{key[0]} ({key[1]}) is not paired: {str(error).splitlines()[0]}")
        found.append(one or _unpaired(key, *pair, same=relation != "other question"))
    return Comparison(
        a=str(paths[0]), b=str(paths[1]), relation=relation, differs=differs, notes=tuple(notes), scores=tuple(found)
    )


def _texts(of: Result) -> str:
    return of.samples.digest if of.samples else ""


def _differing(a: Result, b: Result) -> Iterator[str]:
    """What differs in how the two results were made, as `name: this against that`."""
    facts = {
        "task": (a.task.name, b.task.name),
        "version of the task": (a.task.version, b.task.version),
        "preset": (a.preset, b.preset),
        "corpus": (a.corpus.name, b.corpus.name),
        "seed": (a.seed, b.seed),
        "levels": (", ".join(a.factor.levels), ", ".join(b.factor.levels)),
        "runs per level": (len({v.replicate for v in a.variants}), len({v.replicate for v in b.variants})),
        "texts per run": tuple(of.samples.per_variant if of.samples else 0 for of in (a, b)),
        "fixed texts": (bool(a.fixed_texts), bool(b.fixed_texts)),
        "subset of the test texts": (a.subset or "none", b.subset or "none"),
    }
    for name in sorted({*a.overrides, *b.overrides} - {"corpus.name"}):
        facts[name] = (a.overrides.get(name, "as in the preset"), b.overrides.get(name, "as in the preset"))
    yield from (f"{name}: {this} against {that}" for name, (this, that) in facts.items() if this != that)
    if all(this == that for this, that in facts.values()) and a.protocol_digest != b.protocol_digest:
        yield "protocol: the same settings, but another version of the task, the preset or the code"


def _pairs(a: Result, b: Result, *, roles: bool) -> dict[tuple[str, str], tuple[Score | None, Score | None]]:
    """Scores of the level by attributor and split: held-out replicates first, the most accurate first.

    roles: a task that holds out no replicates tests on seen models, and is beside the seen replicates of another one.
    """

    def role(split: str) -> str:
        return SEEN_REPLICATE if roles and split == UNSEEN_PROMPT else split

    given = [{(s.attributor.name, role(s.split)): s for s in of.scores if s.target == "level"} for of in (a, b)]
    keys = list(dict.fromkeys([*given[0], *given[1]]))

    def place(key: tuple[str, str]) -> tuple[bool, str, float]:
        one = given[0].get(key) or given[1][key]
        found = one.metrics.get("accuracy")
        return key[1] != UNSEEN_REPLICATE, key[1], -found.value if found else 0.0

    return {key: (given[0].get(key), given[1].get(key)) for key in sorted(keys, key=place)}


def _paired(
    key: tuple[str, str], first: tuple[Path, Score], second: tuple[Path, Score], seed: int, files: PredictionFiles
) -> Compared | None:
    """Difference text by text; over replicates if they are held out, since other runs would give other differences."""
    scores = first[1], second[1]
    if any(score.status == "failed" for score in scores):
        return None
    answers = [_ordered(files.of(*one)) for one in (first, second)]
    if not answers[0].rows.select(TEXTS).equals(answers[1].rows.select(TEXTS)):
        raise UserError("the predictions are about other texts")
    a, b = (of.credit for of in answers)
    prompts, p = answers[0].prompts, None
    if key[1] == UNSEEN_REPLICATE:
        fold = answers[0].rows["fold"].to_numpy()
        difference = intervals.fold_interval([float((b - a)[fold == one].mean()) for one in np.unique(fold)])
    else:
        difference = intervals.mean_interval(b - a, prompts, seed)
        p = min(1.0, 2 * min(paired.paired_p(a, b, prompts, seed), paired.paired_p(b, a, prompts, seed)))
    return _compared(key, *scores, measure="accuracy", difference=difference, paired=True, p=p)


def _ordered(of: ScoredAnswers) -> ScoredAnswers:
    """The same answers, in an order that both files share."""
    order = np.lexsort([of.rows[name].to_pylist() for name in ("fold", "row", "variant")])
    rows = of.rows.take(pa.array(order)).combine_chunks()
    return ScoredAnswers(rows, of.proba[order], of.truth[order], of.prompts[order])


def _unpaired(key: tuple[str, str], a: Score | None, b: Score | None, *, same: bool) -> Compared:
    """Difference of two estimates as if they were independent: their intervals are combined."""
    measure: Literal["accuracy", "identifiability"] = "accuracy" if same else "identifiability"
    this, that = (of.metrics.get(measure) if of else None for of in (a, b))
    difference = intervals.difference(that, this) if this and that else None
    return _compared(key, a, b, measure=measure, difference=difference, paired=False, p=None)


def _compared(
    key: tuple[str, str],
    a: Score | None,
    b: Score | None,
    *,
    measure: Literal["accuracy", "identifiability"],
    difference: Interval | None,
    paired: bool,
    p: float | None,
) -> Compared:
    return Compared(
        attributor=key[0],
        split=key[1],
        measure=measure,
        a=a.metrics.get(measure) if a else None,
        b=b.metrics.get(measure) if b else None,
        difference=difference,
        paired=paired,
        p=p,
        same_code=bool(a and b and a.attributor == b.attributor),
    )
