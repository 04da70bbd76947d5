"""Reading the files in which people keep texts: plain text, and tables in several formats."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from natfp_bench.base.errors import UserError

TABLES = (".jsonl", ".csv", ".tsv", ".parquet", ".json")

PLAIN = (".txt", ".md", ".text")

LONGEST_CELL = 2**31 - 1
"""Most characters of a CSV cell; the default of the csv module is 131,072."""

UNREADABLE = (OSError, EOFError, zlib.error)
"""Errors of reading a file when the disk, or a gzip archive, is at fault."""

PlacedRecord = tuple[str, Mapping[str, Any]]
"""The place of a record, as messages name it, and the record."""


def ending(path: Path) -> str:
    """The end of a file's name that says its format: `.jsonl` for `a.jsonl` and for `a.jsonl.gz`."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def content(path: Path) -> bytes:
    """Bytes of a file, unpacked if it is gzipped; raises UserError if it cannot be read or is empty."""
    try:
        found = path.read_bytes()
        if path.suffix.lower() == ".gz":
            found = gzip.decompress(found)
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not found:
        raise UserError(f"{path}: the file is empty")
    return found


def decoded(found: bytes, shown: str) -> str:
    r"""Text of a file, with `\n` for every line end, and without a byte order mark and the last line end."""
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"not UTF-8 text (byte {found[error.start]:#04x} at {error.start})"
        raise UserError(f"{shown}: {what}\n  iconv -f latin1 -t utf-8 {shown}   converts a Latin 1 file") from None
    if "\0" in text:
        raise UserError(f"{shown}: a binary file, not text\n  known formats are UTF-8 text and {', '.join(TABLES)}")
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def rows(path: Path, wanted: Sequence[str], hint: str) -> Iterator[PlacedRecord]:
    """Records of a table, in order; each has the wanted columns.

    hint: how a user names the columns. Raises UserError for a file that is damaged, is not UTF-8, or lacks a column.
    """
    kind, shown = ending(path), str(path)
    if kind == ".parquet":
        yield from _parquet(content(path), shown, wanted, hint)
        return
    text = decoded(content(path), shown)
    if kind == ".jsonl":
        found = json_lines(text.split("\n"), shown)
    elif kind == ".json":
        found = _json(text, path)
    else:
        found = _separated(text, shown, "\t" if kind == ".tsv" else ",")
    for place, record in found:
        require(record, wanted, place, hint)
        yield place, record


def require(columns: Sequence[Any] | Mapping[Any, Any], wanted: Sequence[str], place: str, hint: str) -> None:
    """Check that all wanted columns are there; if not, raises UserError that lists the columns."""
    if lacking := [name for name in wanted if name not in columns]:
        known = ", ".join(str(name) for name in columns if name is not None) or "none"
        raise UserError(f"{place}: no column {' and no column '.join(map(repr, lacking))} (columns: {known})\n  {hint}")


def text_of(record: Mapping[str, Any], column: str, place: str) -> str:
    """Text of a record's column; raises UserError if it is not a text, or has characters that UTF-8 cannot hold."""
    text = record[column]
    if not isinstance(text, str):
        what = "is missing" if text is None else f"must be a text, not of the type {type(text).__name__}"
        raise UserError(f"{place}: {column!r} {what}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{place}: the text has half a surrogate pair, which is not a character") from None
    return text


def word_of(record: Mapping[str, Any], column: str, place: str) -> str:
    """Value of a record's column as a word, for example a label; numbers and dates become their printed form.

    Raises UserError if there is no value: a text without a label must not get the label "None".
    """
    value = record[column]
    word = value if value is None or isinstance(value, str | bytes | list | dict) else str(value)
    if not text_of({column: word}, column, place).strip():
        raise UserError(f"{place}: {column!r} is empty")
    return str(word)


def json_lines(lines: Iterable[str], shown: str) -> Iterator[PlacedRecord]:
    """Records of JSON Lines, in order; raises UserError for a line that is no object."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise UserError(f'{shown}:{number}: not a JSON object\n  each line is one, as in {{"text": "..."}}')
        yield f"{shown}:{number}", record


def _json(text: str, path: Path) -> Iterator[PlacedRecord]:
    """A list of objects, or an object that maps each label to a list of texts or of objects."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    lists = found.items() if isinstance(found, dict) else [(path.name.split(".")[0], found)]
    for label, listed in lists:
        if not isinstance(listed, list):
            raise UserError(f"{path}: not a list of objects, and not an object with a list of texts for each label")
        for number, item in enumerate(listed, 1):
            record = {"text": item} if isinstance(item, str) else item
            if not isinstance(record, dict):
                raise UserError(f"{path}, item {number}: not an object and not a text")
            # Collections of answers call the text a response, and have one file per model.
            if "text" not in record and "response" in record:
                record = {**record, "text": record["response"]}
            yield f"{path}, item {number}", {"label": label, **record}


def _separated(text: str, shown: str, delimiter: str) -> Iterator[PlacedRecord]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for record in reader:
            yield f"{shown}:{reader.line_num}", record
    except csv.Error as error:
        raise UserError(f"{shown}:{reader.line_num}: not valid CSV ({error})") from None


def _parquet(found: bytes, shown: str, wanted: Sequence[str], hint: str) -> Iterator[PlacedRecord]:
    import pyarrow as pa  # slow to import, and only these files need it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(found)) as opened:
            require(opened.schema_arrow.names, wanted, shown, hint)
            records = opened.read(columns=list(dict.fromkeys(wanted))).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{shown}: not a Parquet file, or damaged ({' '.join(str(error).split())})") from None
    for number, record in enumerate(records, 1):
        yield f"{shown}, row {number}", record
