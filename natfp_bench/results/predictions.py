"""`predictions.parquet`: the answer of every attributor to every test text, read and checked in this one place."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.prediction_columns import PREDICTIONS
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.plan.split import UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import per_text
from natfp_bench.statistics.intervals import Floats, Ints


@dataclass(frozen=True)
class ScoredAnswers:
    """The answers that one score summarises, in the order of the file.

    rows: the rows of the file; proba: (n, k) probabilities of the score's classes; truth: (n,) numbers of the true
    classes; prompts: (n,).
    """

    rows: pa.Table
    proba: Floats
    truth: Ints
    prompts: Ints

    @property
    def credit(self) -> Floats:
        """Credit of each answer, (n,)."""
        return per_text.credits(self.proba, self.truth)


@dataclass(frozen=True)
class Predictions:
    """A `predictions.parquet` whose columns are those of `PREDICTIONS`, without gaps."""

    path: Path
    table: pa.Table

    def select(self, target: str, split: str, attributor: str | None = None) -> pa.Table:
        """Rows of one target on one split, of all attributors or of one."""
        about = {"target": target, "split": split, **({} if attributor is None else {"attributor": attributor})}
        return rows_where(self.table, about)

    def of(self, score: Score) -> ScoredAnswers:
        """Answers that a score summarises; raises UserError unless they are one sound answer per test text."""
        rows, k = self.select(score.target, score.split, score.attributor.name), len(score.classes)
        lists = rows["proba"].combine_chunks()
        if len(rows) != score.n_test or not pc.all(pc.equal(lists.value_lengths(), k)).as_py():
            raise _damaged(self.path, f"not {score.n_test} answers for {k} classes by {score.attributor.name}")
        proba = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, k)
        if not ((proba >= 0) & (proba <= 1 + 1e-6)).all():
            raise _damaged(self.path, f"answers by {score.attributor.name} are not probabilities")
        truth = pc.index_in(rows["label"], value_set=pa.array(score.classes, pa.string()))
        if truth.null_count:
            raise _damaged(self.path, f"labels other than {', '.join(score.classes)}")
        return ScoredAnswers(rows, proba, truth.to_numpy().astype(np.int64), rows["prompt"].to_numpy())

    def test_texts(self, result: Result) -> pa.Table:
        """One row per test text of the main split of a result's task: those of the first attributor in the file.

        Raises UserError if there are none.
        """
        rows = self.select("level", main_split(result))
        if not len(rows):
            raise UserError(f"the result of {result.task.name} has no test texts: {'; '.join(result.failures)}")
        return rows.filter(pc.equal(rows["attributor"], rows["attributor"][0]))


def rows_where(table: pa.Table, about: Mapping[str, str]) -> pa.Table:
    """Rows whose columns have these values. They usually follow each other: a slice copies nothing."""
    masks = [pc.equal(table[column], value) for column, value in about.items()]
    mask = functools.reduce(pc.and_, masks)
    first, count = pc.index(mask, True).as_py(), pc.sum(mask).as_py() or 0
    run = table.slice(max(first, 0), count)
    return run if pc.sum(mask.slice(max(first, 0), count)).as_py() in (None, count) else table.filter(mask)


@dataclass(frozen=True)
class PredictionFiles:
    """The predictions beside several results, each file read once."""

    read: dict[Path, Predictions] = field(default_factory=dict)

    def of(self, result: Path, score: Score) -> ScoredAnswers:
        """Answers that a score of a `result.json` summarises; raises UserError as `read_predictions` does."""
        if result not in self.read:
            self.read[result] = read_predictions(result)
        return self.read[result].of(score)


def read_predictions(result: Path) -> Predictions:
    """Read the predictions beside a `result.json`; raises UserError if they are missing or damaged."""
    path = result.parent / "predictions.parquet"
    try:
        table = pq.read_table(path, partitioning=None)
        if table.schema.names != PREDICTIONS.names:
            raise _damaged(path, f"its columns are {', '.join(table.schema.names)}")
        table = table.cast(PREDICTIONS)
        table.validate(full=True)
    except FileNotFoundError:
        raise _damaged(path, "no such file") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    if any(column.null_count for column in table.columns):
        raise _damaged(path, "some values are missing")
    return Predictions(path, table)


def main_split(result: Result) -> str:
    """Split that the task is about: unseen replicates if replicates are held out, else unseen prompts."""
    held_out = any((score.target, score.split) == ("level", UNSEEN_REPLICATE) for score in result.scores)
    return UNSEEN_REPLICATE if held_out else UNSEEN_PROMPT


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: missing or damaged ({reason})\n"
        "  it belongs beside the result.json of the same run; if it is lost, run the task again"
    )
