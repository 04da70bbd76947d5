"""Texts that users give: what is read of each format, and one message for whatever is wrong."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.results.unlabelled_texts import read_all


def test_reads_every_format_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ['He said: "no, never".\nThen – nothing.', "Grüße, 你好"]
    rows = [{"id": index, "text": text} for index, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    quoted = [text.replace('"', '""') for text in texts]
    table = "\r\n".join(["id,text", *(f'{index},"{text}"' for index, text in enumerate(quoted))])
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for ending in ("jsonl", "csv", "parquet", "json", "csv.gz"):
        file = str(tmp_path / f"a.{ending}")
        found = read_all([file])
        assert [one.text for one in found] == texts
        assert [one.place for one in found] == [f"{file}:1", f"{file}:2"]
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf one\r\ntwo \n\n")
    (whole,) = read_all([str(tmp_path / "a.txt")])
    assert (whole.text, whole.row, whole.place) == (" one\ntwo \n", None, str(tmp_path / "a.txt"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\n")))
    assert [one.text for one in read_all(["-", str(tmp_path / "a.csv")])] == ["piped", *texts]


def test_reads_another_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,body\nno,yes\n")
    assert [one.text for one in read_all([str(tmp_path / "a.csv")], "body")] == ["yes"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "no file"),
        ("folder", "folder", "is a folder"),
        (
            "a.docx",
            b"x",
            "format is unknown\n  known formats: .txt, .md, .text, .jsonl, .csv, .tsv, .parquet, .json, also",
        ),
        ("a.txt", b"", "the file is empty"),
        ("a.txt", b" \n\n", "the text is empty"),
        ("a.txt", "Grüße".encode("latin1"), "not UTF-8 text (byte 0xfc at 2)\n  iconv"),
        ("a.txt", b"\x7fELF\0\1", "a binary file, not text"),
        ("a.jsonl", b'{"text": "a"}\n{"body": "b", "id": 1}', "a.jsonl:2: no column 'text' (columns: body, id)"),
        ("a.jsonl", b'{"text": "a"}\n{', "a.jsonl:2: not a JSON object"),
        ("a.jsonl", b'{"text": 3}', "a.jsonl:1: 'text' must be a text, not of the type int"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ""}', "a.jsonl:2: the text is empty"),
        ("a.jsonl", b"\n", "has no texts"),
        ("a.csv", b"body,id\na,1\n", "no column 'text' (columns: body, id)\n  --text-column"),
        ("a.csv", b"id,text\n1,a\n2\n", "a.csv:3: 'text' is missing"),
        ("a.csv", b'id,text\n1,"a\n', "not valid CSV"),
        ("a.csv", b"id,text\n", "has no texts"),
        ("a.parquet", b"PAR1 nothing", "not a Parquet file, or damaged"),
        ("a.parquet", {"text": ["a", None]}, "row 2: 'text' is missing"),
        ("a.parquet", {"text": [1]}, "row 1: 'text' must be a text, not of the type int"),
    ],
)
def test_what_cannot_be_read_gets_one_message(tmp_path: Path, name: str, content: object, said: str) -> None:
    path = tmp_path / name
    match content:
        case bytes():
            path.write_bytes(content)
        case dict():
            pq.write_table(pa.table(content), path)
        case "folder":
            path.mkdir()
    with pytest.raises(UserError) as error:
        read_all([str(path)])
    assert said in str(error.value)


def test_standard_input_can_be_read_once() -> None:
    with pytest.raises(UserError, match="read only once"):
        read_all(["-", "-"])
