"""Texts that a user gives: files of several formats, each a number of texts, or standard input."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError

STDIN = "-"

FORMATS = ".txt, .jsonl, .csv or .parquet; - is standard input, as one text"

LONGEST_CELL = 2**31 - 1
"""Characters of a CSV cell; the csv module allows 131,072 by itself."""


@dataclass(frozen=True)
class GivenText:
    """A text, its file, and its row there from 1 on; no row where the file is one text."""

    file: str
    row: int | None
    text: str

    @property
    def place(self) -> str:
        """Name it in a line."""
        return self.file if self.row is None else f"{self.file}:{self.row}"


def read_all(files: Sequence[str], column: str = "text") -> list[GivenText]:
    """Read the texts of files: .txt is one text, .jsonl, .csv and .parquet hold one a row, `-` is standard input.

    A last line end is no part of a text. Raises UserError for a file that is missing, unreadable, of another format, no
    UTF-8, without the column, or without texts, and for a text that is empty.
    """
    if files.count(STDIN) > 1:
        raise UserError("standard input is named twice, and can be read once")
    found = [text for file in files for text in _read(file, column)]
    for one in found:
        if not one.text.strip():
            raise UserError(
                f"{one.place}: the text is empty\n  an empty text says nothing of who wrote it; leave it out"
            )
    return found


def _read(file: str, column: str) -> list[GivenText]:
    if file == STDIN:
        return [GivenText("standard input", None, _decoded(sys.stdin.buffer.read(), "standard input"))]
    path = Path(file)
    ending = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{file} is a folder; name its files" if path.is_dir() else f"no file {file!r}")
    if ending != ".txt" and ending not in _ROWS:
        raise UserError(f"{file}: a file of an unknown format\n  known are {FORMATS}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if not content:
        raise UserError(f"{file}: the file is empty")
    if ending == ".txt":
        return [GivenText(file, None, _decoded(content, file))]
    rows = [GivenText(file, row, text) for row, text in enumerate(_ROWS[ending](content, file, column), 1)]
    if not rows:
        raise UserError(f"{file}: the file holds no texts")
    return rows


def _decoded(content: bytes, file: str) -> str:
    """Text of a file; every kind of line end is read as one. A byte order mark and a last line end are no text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"not UTF-8 text (byte {content[error.start]:#04x} at {error.start})"
        raise UserError(f"{file}: {what}\n  iconv -f latin1 -t utf-8 {file}   converts one of Latin 1") from None
    if "\0" in text:
        raise UserError(f"{file}: a binary file, not text\n  known are {FORMATS}")
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def _json_lines(content: bytes, file: str, column: str) -> Iterator[str]:
    for number, line in enumerate(_decoded(content, file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f'{file}:{number}: no JSON object\n  a line is one, as in {{{json.dumps(column)}: "..."}}')
        yield _cell(row, column, f"{file}:{number}")


def _csv(content: bytes, file: str, column: str) -> Iterator[str]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(_decoded(content, file), newline=""), strict=True)
    try:
        _has(reader.fieldnames or (), column, file)
        for row in reader:
            yield _cell(row, column, f"{file}:{reader.line_num}")
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: no CSV ({error})") from None


def _parquet(content: bytes, file: str, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(content)) as opened:
            _has(opened.schema_arrow.names, column, file)
            cells = opened.read(columns=[column])[column].to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file}: no Parquet file, or a damaged one ({' '.join(str(error).split())})") from None
    for row, cell in enumerate(cells, 1):
        yield _cell({column: cell}, column, f"{file}, row {row}")


def _has(columns: Sequence[Any], column: str, where: str) -> None:
    if column not in columns:
        known = ", ".join(map(str, columns)) or "none"
        raise UserError(
            f"{where}: no column {column!r} (columns: {known})\n  --text-column names the one with the texts"
        )


def _cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """Text of a row's column; raises UserError where there is none, or one that no file could hold."""
    _has([name for name in row if name is not None], column, where)
    if not isinstance(text := row[column], str):
        raise UserError(f"{where}: {column!r} is no text but {_kind(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where}: the text holds half a surrogate pair, which is no character") from None
    return text


def _kind(value: object) -> str:
    return "missing" if value is None else f"of the type {type(value).__name__}"


_ROWS: dict[str, Callable[[bytes, str, str], Iterator[str]]] = {
    ".jsonl": _json_lines,
    ".csv": _csv,
    ".parquet": _parquet,
}
