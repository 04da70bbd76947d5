"""The reference of a regression: it reads back, is compact, and damage is one message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted_answers import (
    TEXTS,
    TRUTH,
    current,
    planted,
    skilled,
)

from natfp_bench.base.errors import UserError
from natfp_bench.results import regression_reference
from natfp_bench.results.regression_reference import ScorePlace


def test_a_reference_reads_back_and_is_compact(tmp_path: Path) -> None:
    given = {f"u{i}": skilled(i) for i in range(8)} | {
        "ceiling": skilled(9, 8.0),
        "majority": np.full((TEXTS, 4), 0.25),
    }
    found = current(planted(tmp_path / "now", given, fixed_texts="f" * 64)).answers
    path = tmp_path / "deep" / "folder" / "ref.parquet"
    regression_reference.write(path, found.values())
    again = regression_reference.read(path)
    assert set(again) == set(found)
    by_variant = np.argsort(TRUTH, kind="stable")
    for place, answers in found.items():
        assert (again[place].setup, again[place].who, again[place].rows) == (answers.setup, answers.who, answers.rows)
        assert np.array_equal(again[place].steps, answers.steps)
        assert np.abs(answers.steps / 65535 - given[place.attributor][by_variant]).max() < 1e-5
    assert path.stat().st_size < 2 * 4 * TEXTS * len(given)
    first = path.read_bytes()
    regression_reference.write(path, reversed([*again.values()]))
    assert path.read_bytes() == first
    assert [one.name for one in path.parent.iterdir()] == ["ref.parquet"]


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    match how:
        case "cut short":
            path.write_bytes(data[: len(data) // 2])
        case "a bit":
            data[len(data) // 3] ^= 1
            path.write_bytes(data)
        case "no parquet":
            path.write_text("no table")
        case "empty":
            path.write_bytes(b"")
        case "another table":
            pq.write_table(pa.table({"a": [1]}), path)
        case "another version":
            table = pq.read_table(path)
            pq.write_table(table.replace_schema_metadata({regression_reference.MARK: b"99"}), path)
        case "other columns":
            pq.write_table(pq.read_table(path).drop_columns("access"), path)
        case "an odd number":
            table = pq.read_table(path)
            place = table.schema.get_field_index("classes")
            pq.write_table(table.set_column(place, "classes", pa.array([7] * len(table), pa.int64())), path)
        case "no name":
            table = pq.read_table(path)
            place = table.schema.get_field_index("name")
            pq.write_table(table.set_column(place, "name", pa.array([None] * len(table), pa.string())), path)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "gone":
            path.unlink()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut short", "damaged"), ("a bit", "damaged"), ("no parquet", "damaged"), ("empty", "damaged"),
        ("another table", "not a reference"), ("another version", "a reference of schema 99"),
        ("other columns", "damaged"),
        ("an odd number", "damaged"), ("no name", "damaged"), ("a folder", "is a folder"), ("gone", "no reference at"),
    ],
)  # fmt: skip
def test_a_damaged_reference_is_one_message(tmp_path: Path, how: str, said: str) -> None:
    path = tmp_path / "ref.parquet"
    regression_reference.write(path, current(planted(tmp_path / "now", {"u": skilled(1)})).answers.values())
    damaged(path, how)
    with pytest.raises(UserError, match=said) as caught:
        regression_reference.read(path)
    assert str(path) in str(caught.value)
    assert "\n  " in str(caught.value)  # how to mend it


@pytest.mark.parametrize(
    "how", ["cut short", "no parquet", "another table", "a script", "a picture", "a link", "a folder", "a device"]
)
def test_nothing_but_a_reference_is_overwritten(tmp_path: Path, how: str) -> None:
    answers, path = current(planted(tmp_path / "now", {"u": skilled(1)})).answers.values(), tmp_path / "ref.parquet"
    regression_reference.write(path, answers)
    match how:
        case "a script":
            path.write_text("rm -r build\n")
        case "a picture":
            path.write_bytes(b"PAR1\x89PNG\r\n")
        case "a link":
            (tmp_path / "thesis.tex").write_text("mine")
            path.unlink()
            path.symlink_to(tmp_path / "thesis.tex")
        case "a device":
            path = Path("/dev/null")
        case _:
            damaged(path, how)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UserError, match=r"is not overwritten\n  remove it|is a folder") as caught:
        regression_reference.write(path, answers)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("how", ["empty", "another version", "other columns", "an odd number", "gone"])
def test_a_reference_of_any_version_is_replaced(tmp_path: Path, how: str) -> None:
    answers, path = current(planted(tmp_path / "now", {"u": skilled(1)})).answers.values(), tmp_path / "ref.parquet"
    regression_reference.write(path, answers)
    sound = path.read_bytes()
    damaged(path, how)
    regression_reference.write(path, answers)
    assert path.read_bytes() == sound


def test_a_damaged_result_is_one_message(tmp_path: Path) -> None:
    planted(tmp_path, {"u": skilled(1)})
    (path,) = tmp_path.rglob("result.json")
    path.write_text(path.read_text()[:-100])
    with pytest.raises(UserError, match=r"damaged, not JSON(.|\n)*run these tasks again"):
        current(tmp_path)


def test_a_place_names_itself() -> None:
    task = ScorePlace(task="seed_id", preset="quick", protocol_digest="p")
    assert str(task) == "seed_id (quick)"
    assert str(task.model_copy(update={"attributor": "u", "target": "level", "split": "s"})) == (
        "u on seed_id (quick), level, s"
    )
