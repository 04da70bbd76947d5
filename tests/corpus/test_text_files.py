"""Reading files of texts: what is malformed, missing or too large is refused by name."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.errors import UserError
from natfp_bench.corpus import text_files

COLUMNS = ("text", "label")

CELL = st.text(alphabet='ab ,"\n\t', max_size=8)


def rows(path: Path, *wanted: str) -> list[dict[str, Any]]:
    return [dict(record) for _, record in text_files.rows(path, wanted or COLUMNS, "name them")]


def places(path: Path) -> list[int]:
    return [int(place.rpartition(":")[2]) for place, _ in text_files.rows(path, COLUMNS, "")]


def fault(path: Path, *wanted: str) -> str:
    with pytest.raises(UserError) as caught:
        rows(path, *wanted)
    return str(caught.value)


def separated(table: list[list[str]], delimiter: str = ",") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    return file.getvalue()


def lines_before(table: list[list[str]]) -> int:
    return separated(table).count("\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(
    st.lists(st.tuples(CELL, CELL), max_size=5), st.lists(CELL, min_size=3, max_size=6), st.sampled_from(["csv", "tsv"])
)
def test_a_row_with_more_cells_than_columns_is_refused(
    folder: Path, before: list[tuple[str, str]], long: list[str], kind: str
) -> None:
    table = [list(COLUMNS), *map(list, before)]
    path = folder / f"long.{kind}"
    delimiter = "," if kind == "csv" else "\t"
    path.write_text(separated([*table, long, ["last", "a"]], delimiter), newline="")
    if any(cell.strip() for cell in long[2:]):
        place = f"{path}:{lines_before(table) + 1}: "
        assert fault(path).startswith(f"{place}{len(long)} cells found, 2 expected\n")
    else:
        assert rows(path)[len(before)] == dict(zip(COLUMNS, long, strict=False))


@given(st.lists(st.tuples(CELL, CELL) | st.none(), max_size=6))
def test_a_record_is_placed_at_the_line_where_it_begins(folder: Path, table: list[tuple[str, str] | None]) -> None:
    """None is a blank line, which is no record."""
    parts = [separated([list(COLUMNS)]), *("\n" if row is None else separated([list(row)]) for row in table)]
    path = folder / "placed.csv"
    path.write_text("".join(parts), newline="")
    begins = [1 + "".join(parts[: at + 1]).count("\n") for at, row in enumerate(table) if row is not None]
    assert places(path) == begins


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ('"never closed,a', "not valid CSV (unexpected end of data)"),
        ('"closed" and more,a', "not valid CSV (',' expected after '\"')"),
        ("with, a comma,a", "3 cells found, 2 expected"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, odd: str, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f'text,label\n"one\ntwo",a\n\n{odd}\nthree,b\n')
    assert fault(path).startswith(f"{path}:5: {said}\n")


def test_a_short_row_lacks_its_last_values(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label,note\none,a\n")
    assert rows(tmp_path / "x.csv") == [{"text": "one", "label": "a", "note": None}]


def test_the_header_follows_blank_lines_and_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\n\ntext;label\none;a\n")
    assert fault(tmp_path / "x.csv").startswith(f"{tmp_path / 'x.csv'}:3: no column 'text' and no column 'label'")


def test_two_columns_of_one_name_are_refused_if_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label,label,id,id\none,a,b,1,2\n")
    pq.write_table(pa.table([["one"], ["a"], ["b"]], names=["text", "label", "label"]), tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text('{"text": "one", "label": "a", "label": "b"}')
    (tmp_path / "x.json").write_text('[{"text": "one", "label": "a", "label": "b"}]')
    assert "2 columns have the name 'label'" in fault(tmp_path / "x.csv")
    assert "2 columns have the name 'label'" in fault(tmp_path / "x.parquet")
    assert "x.jsonl:1: not a JSON object (the key 'label' is there twice)" in fault(tmp_path / "x.jsonl")
    assert "the key 'label' is there twice" in fault(tmp_path / "x.json")
    assert rows(tmp_path / "x.csv", "text")[0]["text"] == "one"


def test_what_follows_an_object_on_its_line_is_refused(tmp_path: Path) -> None:
    for more in (" garbage", '{"text": "two", "label": "b"}', "]"):
        (tmp_path / "x.jsonl").write_text(f'{{"text": "one", "label": "a"}}{more}\n')
        assert "x.jsonl:1: not a JSON object (Extra data)" in fault(tmp_path / "x.jsonl")


NOT_A_TIME = pa.array([-(2**63)], pa.timestamp("ns"))
"""The NaT of numpy, which a file may have without a mark that it is missing."""


@pytest.mark.parametrize(
    "value", [None, math.nan, Decimal("NaN"), NOT_A_TIME.to_pylist()[0]], ids=["null", "nan", "decimal", "nat"]
)
def test_what_stands_for_no_value_is_missing(value: Any) -> None:
    record = {"label": value}
    assert text_files.missing(value)
    for read in (text_files.text_of, text_files.word_of):
        with pytest.raises(UserError, match="here: 'label' is missing"):
            read(record, "label", "here")


@pytest.mark.parametrize("value", ["nan", "None", "null", 0, False, 0.0, datetime.date(2020, 1, 1), math.inf])
def test_values_that_only_look_missing_are_words(value: Any) -> None:
    word = "false" if value is False else str(value)
    assert text_files.word_of({"label": value}, "label", "here") == word


TEXT = "text,label\ngrün und blau,a\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_encoding_with_a_byte_order_mark_is_named(tmp_path: Path, encoding: str, packed: bool) -> None:
    found = f"\ufeff{TEXT}".encode(encoding)
    path = tmp_path / ("x.csv.gz" if packed else "x.csv")
    path.write_bytes(gzip.compress(found) if packed else found)
    name = encoding[:6].upper()
    assert f"by its byte order mark it is {name}\n  iconv -f {name} -t UTF-8 " in fault(path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437", "mac-roman"])
def test_no_encoding_is_guessed(tmp_path: Path, encoding: str) -> None:
    """Every file is valid Latin 1, so the advice to convert from it would spoil the other ones without an error."""
    (tmp_path / "x.csv").write_bytes(TEXT.encode(encoding))
    said = fault(tmp_path / "x.csv")
    assert "not UTF-8 text (byte 0x" in said
    assert "iconv -f ENCODING" in said
    assert "latin" not in said.lower()


ONES = [{"text": "x" * 100, "label": "a"}] * 100


def lines() -> bytes:
    return "\n".join(map(json.dumps, ONES)).encode()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 2**31 - 1], pa.date32()),
        pa.array([0, 2**23], pa.date32()),
        pa.array([0, 2**62], pa.duration("s")),
        pa.array([0, 1], pa.timestamp("us", "Mars/Olympus")),
    ],
    ids=["day", "year", "duration", "zone"],
)
def test_values_that_python_lacks_are_refused(values: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["one", "two"], "label": values}), tmp_path / "x.parquet")
    assert "x.parquet: not a Parquet file, or damaged" in fault(tmp_path / "x.parquet")


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.parquet", "x.txt.gz"])
def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A repeated text is stored once in a Parquet file, so the size that the file states says little."""
    path = tmp_path / name
    if name == "x.parquet":
        pq.write_table(pa.Table.from_pylist(ONES), path)
    else:
        path.write_bytes(gzip.compress(lines()) if name.endswith("gz") else lines())
    read = text_files.content if ".txt" in name else rows
    read(path)
    monkeypatch.setattr(text_files, "CHUNK", 64)
    monkeypatch.setattr(text_files, "MOST_BYTES", 9_000)
    with pytest.raises(UserError, match=r"more than 9,000 bytes \(unpacked\), which is the most that is read"):
        read(path)


# What files of people hold.


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inside", ["\n", "\r\n", "\r"])
def test_line_ends_inside_a_cell_are_part_of_its_text(tmp_path: Path, inside: str, end: str) -> None:
    path = tmp_path / "a.csv"
    file = io.StringIO(newline="")
    table = [["text", "label"], [f"one{inside}two", "x"], [f"{inside}three", "y"]]
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(table)
    path.write_bytes(file.getvalue().encode())
    assert [row["text"] for row in rows(path)] == [f"one{inside}two", f"{inside}three"]


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"\x1f\x8b\x08\x00rest", "a gzip file"), (b"PK\x03\x04rest", "a zip archive"), (b"PAR1rest", "a Parquet file")],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.tsv"])
def test_another_format_is_named_whatever_the_file_is_called(
    tmp_path: Path, name: str, start: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(start)
    assert said in fault(tmp_path / name)


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_other_separators_are_named(tmp_path: Path, sign: str, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text{sign}label\nx{sign}y\n")
    assert f"are its cells separated by {name}" in fault(path)


def test_a_json_file_of_columns_has_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for other in ({"label": ["a", "b"]}, {"id": ["1", "2"]}, {}):
        path.write_text(json.dumps({"text": ["x", "y"], **other}))
        assert "a list for each column, as 'text'" in fault(path)


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "x", "label": "a"}\n{"text": "y", "label": "b"}\n')
    assert "its name must end in .jsonl" in fault(tmp_path / "a.json")


def test_a_nul_character_is_found_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\nx,a\ny\0,b\n")
    assert f"{tmp_path / 'a.csv'}:3: a NUL character" in fault(tmp_path / "a.csv")


def test_a_nul_character_in_a_quoted_cell_is_text(tmp_path: Path) -> None:
    """Small models write it now and then, and `export --format csv` keeps it."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'text,label\n"y\0 ""\0"" \n\0",b\n')
    [(_, record)] = text_files.rows(path, COLUMNS, "")
    assert record["text"] == 'y\0 "\0" \n\0'
    path.write_bytes(b'text,label\n"y\0\n",b\n"x",\0\n')
    assert f"{path}:4: a NUL character" in fault(path)


def test_truth_values_and_long_numbers_are_words(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "label": true, "n": %s}\n' % ("9" * 6000))
    [(place, record)] = text_files.rows(path, COLUMNS, "")
    assert text_files.word_of(record, "label", place) == "true"
    assert record["n"] == Decimal("9" * 6000)
