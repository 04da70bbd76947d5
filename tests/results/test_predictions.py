"""predictions.parquet: sound answers are read as they were written, and damage is one message that names the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.results.predictions import PredictionFiles, read_predictions, rows_where

FILE = "predictions.parquet"


def test_answers_are_those_that_the_score_summarises(seed_run: Any) -> None:
    result, folder = seed_run
    files = PredictionFiles()
    for score in result.scores:
        found = files.of(folder / "result.json", score)
        assert found.credit.mean() == pytest.approx(score.metrics["accuracy"].value)
        assert found.rows["proba"].to_pylist() == found.proba.tolist()
        assert [score.classes[place] for place in found.truth] == found.rows["label"].to_pylist()
        assert found.rows["prompt"].to_pylist() == found.prompts.tolist()
        assert set(found.rows["attributor"].to_pylist()) == {score.attributor.name}
    assert len(files.read) == 1


def test_each_test_text_is_listed_once(seed_run: Any) -> None:
    result, folder = seed_run
    rows = read_predictions(folder / "result.json").test_texts(result).to_pylist()
    places = {(row["variant"], row["row"]) for row in rows}
    assert len(places) == len(rows) == result.scores[0].n_test


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.names.index(name), name, pa.array(values))


def with_first(table: pa.Table, proba: list[float | None]) -> pa.Table:
    return with_column(table, "proba", [proba, *table["proba"].to_pylist()[1:]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(["label"]), "its columns are variant, row"),
        (lambda table: with_column(table, "row", [{"a": 1}] * len(table)), "cast"),
        (lambda table: with_column(table, "row", [None, *range(1, len(table))]), "some values are missing"),
        (lambda table: with_column(table, "label", ["z"] * len(table)), "labels other than seed0, seed1"),
        (lambda table: table.slice(1), "not 200 answers for 4 classes by"),
        (lambda table: with_first(table, [0.5, 0.25, 0.25]), "not 200 answers for 4 classes by"),
        (lambda table: with_first(table, [math.nan, 0.5, 0.25, 0.25]), "are not probabilities"),
        (lambda table: with_first(table, [-0.5, 0.5, 0.5, 0.5]), "are not probabilities"),
        (lambda table: with_first(table, [None, 0.5, 0.25, 0.25]), "are not probabilities"),
    ],
)
def test_damage_is_one_message(copied: Path, seed_run: Any, change: Any, said: str) -> None:
    path = copied.parent / FILE
    table = pq.read_table(path)
    first = next(score for score in seed_run[0].scores if score.attributor.name == table["attributor"][0].as_py())
    pq.write_table(change(table), path)
    with pytest.raises(UserError) as caught:
        read_predictions(copied).of(first)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_missing_or_not_parquet(copied: Path) -> None:
    (copied.parent / FILE).write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=rf"{FILE}: missing or damaged \("):
        read_predictions(copied)
    (copied.parent / FILE).unlink()
    with pytest.raises(UserError, match=rf"{FILE}: missing or damaged \(no such file\)\n.*run the task again"):
        read_predictions(copied)


def test_a_result_without_answers_has_no_test_texts(copied: Path, seed_run: Any) -> None:
    pq.write_table(pq.read_table(copied.parent / FILE).slice(0, 0), copied.parent / FILE)
    with pytest.raises(UserError, match="the result of seed_id has no test texts"):
        read_predictions(copied).test_texts(seed_run[0])


def test_rows_are_chosen_whether_or_not_they_follow_each_other() -> None:
    table = pa.table({"target": list("aabba"), "split": list("xyyxx"), "row": [0, 1, 2, 3, 4]})
    for about, rows in (({"target": "b"}, [2, 3]), ({"target": "a", "split": "x"}, [0, 4]), ({"target": "c"}, [])):
        assert rows_where(table, about)["row"].to_pylist() == rows
