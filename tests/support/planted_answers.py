"""Results with planted answers: what attributors say about 2,000 texts of four classes, as files."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_results import bare_result

from natfp_bench.base.rungs import Rung
from natfp_bench.pipeline.prediction_columns import PREDICTIONS
from natfp_bench.pipeline.result import AttributorId, RunInfo, Score
from natfp_bench.results import regression, regression_reference
from natfp_bench.results.regression import RegressionFinding, RegressionReport
from natfp_bench.statistics import per_text
from natfp_bench.statistics.intervals import Floats, Ints

CLASSES = ("a", "b", "c", "d")
TEXTS = 2000
TRUTH = np.arange(TEXTS) % len(CLASSES)
HOSTILE = "x|y <b> ::error::100%, \x1b[31m\r\n&"


def skilled(seed: int, strength: float = 1.5) -> Floats:
    """Answers to texts of shared difficulty, by a classifier whose own luck hangs on its seed."""
    shared = np.random.default_rng(0).normal(size=(TEXTS, len(CLASSES)))
    own = np.random.default_rng(seed).normal(size=shared.shape)
    logits = shared + 0.5 * own
    logits[np.arange(TEXTS), TRUTH] += strength
    proba = np.exp(logits)
    return proba / proba.sum(axis=1, keepdims=True)


def weakened(proba: Floats, share: float) -> Floats:
    """Answers that miss so many more of all texts: the truth changes places with another class."""
    right = np.flatnonzero(per_text.credits(proba, TRUTH) == 1)
    missed = np.random.default_rng(1).permutation(right)[: round(share * TEXTS)]
    changed, other = proba.copy(), (TRUTH[missed] + 1) % len(CLASSES)
    changed[missed, TRUTH[missed]], changed[missed, other] = proba[missed, other], proba[missed, TRUTH[missed]]
    return changed


Given = Mapping[str, Floats | str]
"""What attributors answered, by name, or with which error they failed."""


def planted(
    folder: Path,
    given: Given,
    *,
    prompts: Ints | None = None,
    run: str = "1",
    started: str = "2026-01-01T00:00:00+00:00",
    order: Ints | None = None,
    code: str = "0",
    rung: Rung = "texts",
    rank: int | None = None,
    **changes: Any,
) -> Path:
    """Write a result with planted answers; returns the folder of results."""
    prompts = np.arange(TEXTS) if prompts is None else prompts
    rows = np.arange(TEXTS) if order is None else order
    scores, tables = [], []
    for name, answer in given.items():
        access = "likelihood" if name == "ceiling" else "text"
        who = AttributorId(name=name, version="1", digest=code, access=access, floor=False, knowledge=rung)
        frame: dict[str, Any] = {"split": "unseen_prompt", "target": "level", "classes": CLASSES, "chance": 0.25}
        if isinstance(answer, str):
            scores.append(Score(attributor=who, status="failed", error=answer, **frame))
            continue
        scores.append(Score(attributor=who, status="ok", n_test=TEXTS, rank=rank, **frame))
        columns = {
            "variant": [f"{CLASSES[label]}/r0" for label in TRUTH[rows]],
            "row": rows,
            "prompt": prompts[rows],
            "fold": np.zeros(TEXTS, dtype=np.int32),
            "split": ["unseen_prompt"] * TEXTS,
            "target": ["level"] * TEXTS,
            "attributor": [name] * TEXTS,
            "label": [CLASSES[label] for label in TRUTH[rows]],
            "proba": pa.ListArray.from_arrays(np.arange(TEXTS + 1, dtype=np.int32) * 4, answer[rows].ravel()),
        }
        tables.append(pa.table(columns, schema=PREDICTIONS))
    info = RunInfo(id=run, command=(), started=started, seconds={}, work={}, attributors={}, environment={})
    result = bare_result(scores, CLASSES, info, **changes)
    home = folder / result.task.name / result.preset / run
    home.mkdir(parents=True)
    (home / "result.json").write_text(result.to_json(), encoding="utf-8")
    pq.write_table(pa.concat_tables(tables) if tables else PREDICTIONS.empty_table(), home / "predictions.parquet")
    return folder


def current(folder: Path) -> regression_reference.Current:
    return regression_reference.read_current(sorted(folder.rglob("result.json")))


class Comparing:
    """Plant answers before and now, compare them, and find what became of one attributor."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, itertools.count()

    def __call__(self, before: Given, now: Given, *, prompts: Ints | None = None, **options: Any) -> RegressionReport:
        folder = self.folder / str(next(self.numbers))
        regression_reference.write(
            folder / "ref", current(planted(folder / "before", before, prompts=prompts)).answers.values()
        )
        found = current(planted(folder / "now", now, prompts=prompts))
        return regression.compare(regression_reference.read(folder / "ref"), found, name="ref", **options)


def of(report: RegressionReport, attributor: str) -> RegressionFinding:
    (found,) = (finding for finding in report.findings if finding.place.attributor == attributor)
    return found


def change_of(report: RegressionReport, attributor: str) -> regression.Change:
    found = of(report, attributor).change
    assert found is not None
    return found
