"""Reading the files in which people keep texts: plain text, and tables in several formats."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from natfp_bench.base.errors import UserError

TABLES = (".jsonl", ".csv", ".tsv", ".parquet", ".json")

PLAIN = (".txt", ".md", ".text")

LONGEST_CELL = 2**31 - 1
"""Most characters of a CSV cell; the default of the csv module is 131,072."""

QUOTES = "a cell with a separator, a line break or a quote stands in double quotes, and a quote in it is doubled"

QUOTED_CELL = re.compile('"[^"]*"')

MOST_BYTES = 2**30
"""Most bytes of an unpacked file: its texts are held in memory, and a small archive can unpack to any size."""

CHUNK = 2**20

PARQUET_ROWS = 64
"""Rows that are unpacked at a time: few, because a row can be large."""

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order marks of other encodings than UTF-8. A mark of UTF-32 begins with one of UTF-16, so it comes first."""

FORMATS = {
    b"\x1f\x8b": "a gzip file\n  give it a name that ends in .gz, as in texts.csv.gz",
    b"PK\x03\x04": "a zip archive\n  unpack it, or use gzip",
    b"PAR1": "a Parquet file\n  give it a name that ends in .parquet",
}
"""How files of other formats begin, whatever their names say, and what to do about it."""

SEPARATORS = {";": "semicolons", "\t": "tabs (a .tsv file)", "|": "vertical bars"}

LONG_NUMBER = 4000
"""Digits beyond which an integer of JSON becomes a decimal number: Python refuses to make an int of about as many."""

UNREADABLE = (OSError, EOFError, zlib.error)
"""Errors of reading a file when the disk, or a gzip archive, is at fault."""

PlacedRecord = tuple[str, Mapping[str, Any]]
"""The place of a record, as messages name it, and the record."""


def ending(path: Path) -> str:
    """The end of a file's name that says its format: `.jsonl` for `a.jsonl` and for `a.jsonl.gz`."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def content(path: Path, *, may_be_empty: bool = False) -> bytes:
    """Bytes of a file, unpacked if it is gzipped; raises UserError if it cannot be read, or is empty or too large."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            found = bounded(file, str(path))
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not found and not may_be_empty:
        raise UserError(f"{path}: the file is empty")
    return found


def bounded(file: IO[bytes] | io.BufferedIOBase, shown: str) -> bytes:
    """All bytes of an open file; raises UserError if there are more than MOST_BYTES."""
    found = io.BytesIO()
    while part := file.read(CHUNK):
        found.write(part)
        require_size(found.tell(), shown)
    return found.getvalue()


def require_size(size: int, shown: str) -> None:
    """Check that so many unpacked bytes are not too many; if they are, raises UserError."""
    if size > MOST_BYTES:
        what = f"more than {MOST_BYTES:,} bytes (unpacked), which is the most that is read of one file"
        raise UserError(f"{shown}: {what}\n  take a part of it, or without the columns that are not needed")


def decoded(found: bytes, shown: str) -> str:
    r"""Text of a file, with `\n` for every line end, and without a byte order mark and the last line end."""
    return exact(found, shown).replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def exact(found: bytes, shown: str, *, cells: bool = False) -> str:
    """Text of a file as it is, without a byte order mark; raises UserError if it is no UTF-8 text.

    cells: whether NUL characters are allowed within quotes, where they belong to the text of a cell.
    """
    refuse_marked(found, shown)
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(shown, f"byte {found[error.start]:#04x} at {error.start}") from None
    outside = QUOTED_CELL.sub(lambda cell: " " * len(cell[0]), text) if cells and "\0" in text else text
    if (at := outside.find("\0")) >= 0:
        where = f"{shown}:{text.count(chr(10), 0, at) + 1}"
        known = f"known formats are UTF-8 text (UTF-16 must be converted) and {', '.join(TABLES)}"
        raise UserError(f"{where}: a NUL character, so this is a binary file, not text\n  {known}")
    return text


def refuse_marked(start: bytes, shown: str) -> None:
    """Raise UserError if a file starts as one of another format does, or of another encoding than UTF-8."""
    if what := next((what for mark, what in FORMATS.items() if start.startswith(mark)), None):
        raise UserError(f"{shown}: {what}")
    if encoding := next((name for mark, name in MARKS.items() if start.startswith(mark)), None):
        what = f"not UTF-8 text: by its byte order mark it is {encoding}"
        raise UserError(f"{shown}: {what}\n  iconv -f {encoding} -t UTF-8   converts it")


def not_utf8(shown: str, where: str) -> UserError:
    """Build the error for text in an encoding that nothing names: a guess could spoil the text without an error."""
    once = "once you know its encoding, which the file does not say; a wrong one spoils the text"
    return UserError(f"{shown}: not UTF-8 text ({where})\n  iconv -f ENCODING -t UTF-8   converts it {once}")


def rows(path: Path, wanted: Sequence[str], hint: str) -> Iterator[PlacedRecord]:
    """Records of a table, in order; each has the wanted columns.

    hint: how a user names the columns. Raises UserError for a file that is damaged, is not UTF-8, or lacks a column.
    """
    kind, shown = ending(path), str(path)
    if kind == ".parquet":
        yield from _parquet(content(path), shown, wanted, hint)
        return
    if kind in (".csv", ".tsv"):
        # Line ends in a cell are part of its text.
        text = exact(content(path), shown, cells=True)
        yield from _separated(text, shown, "\t" if kind == ".tsv" else ",", wanted, hint)
        return
    text = decoded(content(path), shown)
    found = json_lines(text.split("\n"), shown) if kind == ".jsonl" else _json(text, path, wanted[0])
    for place, record in found:
        require(record, wanted, place, hint)
        yield place, record


def require(columns: Collection[Any], wanted: Sequence[str], place: str, hint: str) -> None:
    """Check that each wanted column is there once; if not, raises UserError that lists the columns."""
    names = list(columns)
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise UserError(f"{place}: {names.count(twice[0])} columns have the name {twice[0]!r}\n  rename all but one")
    if lacking := [name for name in wanted if name not in names]:
        known = ", ".join(map(str, names)) or "none"
        raise UserError(f"{place}: no column {' and no column '.join(map(repr, lacking))} (columns: {known})\n  {hint}")


def missing(value: Any) -> bool:
    """Whether a value stands for none at all: null, and whatever differs from itself, as NaN and NaT do."""
    return value is None or bool(value != value)


def absent(record: Mapping[str, Any], column: str) -> bool:
    """Whether a record has no value in a column, or only white space."""
    value = record[column]
    return missing(value) or (isinstance(value, str) and not value.strip())


def text_of(record: Mapping[str, Any], column: str, place: str) -> str:
    """Text of a record's column; raises UserError if it is not a text, or has characters that UTF-8 cannot hold."""
    text = record[column]
    if not isinstance(text, str):
        what = "is missing" if missing(text) else f"must be a text, not of the type {type(text).__name__}"
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
    word = value if missing(value) or isinstance(value, str | bytes | list | dict) else str(value)
    if isinstance(value, bool):
        word = json.dumps(value)  # as other files spell it
    if not text_of({column: word}, column, place).strip():
        raise UserError(f"{place}: {column!r} is empty")
    return str(word)


def json_lines(lines: Iterable[str], shown: str) -> Iterator[PlacedRecord]:
    """Records of JSON Lines, in order; raises UserError for a line that is no object."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        why = ""
        try:
            record = json.loads(line, object_pairs_hook=_object, parse_int=_integer)
        except (ValueError, RecursionError) as error:
            record, why = None, f" ({getattr(error, 'msg', error)})"
        if not isinstance(record, dict):
            raise UserError(f'{shown}:{number}: not a JSON object{why}\n  each line is one, as in {{"text": "..."}}')
        yield f"{shown}:{number}", record


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values; raises ValueError if a key is there twice, since one value would win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < LONG_NUMBER else Decimal(digits)


def _json(text: str, path: Path, column: str) -> Iterator[PlacedRecord]:
    """A list of objects, or an object that maps each label to a list of texts or of objects; column: of the texts."""
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        lines = "\n  one object per line? then its name must end in .jsonl" if "Extra data" in str(error) else ""
        raise UserError(f"{path}: not valid JSON ({error}){lines}") from None
    if isinstance(found, dict) and column in found:
        raise UserError(
            f"{path}: it has a list for each column, as {column!r}, where a list for each label is expected\n"
            '  write a list of objects, as in [{"text": "...", "label": "..."}]'
        )
    lists = found.items() if isinstance(found, dict) else [(path.name.split(".")[0], found)]
    for label, listed in lists:
        if not isinstance(listed, list):
            raise UserError(f"{path}: not a list of objects, and not an object with a list of texts for each label")
        for number, item in enumerate(listed, 1):
            record = item if isinstance(item, dict) else {"text": item}
            # Collections of answers call the text a response, and have one file per model.
            if "text" not in record and "response" in record:
                record = {**record, "text": record["response"]}
            yield f"{path}, item {number}", {"label": label, **record}


def _separated(text: str, shown: str, delimiter: str, wanted: Sequence[str], hint: str) -> Iterator[PlacedRecord]:
    """Records of a table of cells. A short row lacks its last values; a long one may have only empty cells more."""
    rows = _cells(text, shown, delimiter)
    place, header = next(rows, (shown, []))
    if len(header) == 1 and (other := next((name for sign, name in SEPARATORS.items() if sign in header[0]), None)):
        hint = f"are its cells separated by {other}? write it with commas"
    require(header, wanted, place, hint)
    for place, row in rows:
        if any(cell.strip() for cell in row[len(header) :]):
            what = f"{len(row)} cells found, {len(header)} expected"
            raise UserError(f"{place}: {what}\n  {QUOTES}")
        yield place, {**dict.fromkeys(header), **dict(zip(header, row, strict=False))}


def _cells(text: str, shown: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table, each with the place where it begins; blank lines are no rows."""
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row: list[str] | None = []
    while row is not None:
        place = f"{shown}:{reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{place}: not valid CSV ({error})\n  {QUOTES}") from None
        if row:
            yield place, row


def _parquet(found: bytes, shown: str, wanted: Sequence[str], hint: str) -> Iterator[PlacedRecord]:
    import pyarrow as pa  # slow to import, and only these files need it
    import pyarrow.parquet as pq

    number, size = 0, 0
    try:
        with pq.ParquetFile(pa.BufferReader(found)) as opened:
            require(opened.schema_arrow.names, wanted, shown, hint)
            # What the file says of its size does not count texts that it stores once and repeats.
            for batch in opened.iter_batches(PARQUET_ROWS, columns=list(dict.fromkeys(wanted))):
                for record in batch.to_pylist():
                    number += 1
                    size += sum(len(value) for value in record.values() if isinstance(value, str))
                    require_size(size, shown)
                    yield f"{shown}, row {number}", record
    # The last two are of values that Python lacks: dates beyond its years, times of an unknown zone.
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError) as error:
        raise UserError(f"{shown}: not a Parquet file, or damaged ({' '.join(str(error).split())})") from None
