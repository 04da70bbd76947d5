"""Texts that a user gives: from files of several formats, or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from natfp_bench.base.errors import UserError
from natfp_bench.corpus import text_files

STDIN = "-"

FORMATS = f"{', '.join((*text_files.PLAIN, *text_files.TABLES))}, also gzipped; - is standard input, as one text"


@dataclass(frozen=True)
class GivenText:
    """A text, its file, and its row there from 1 on; no row if the file is one text."""

    file: str
    row: int | None
    text: str

    @property
    def place(self) -> str:
        """Name it in one line."""
        return self.file if self.row is None else f"{self.file}:{self.row}"


def read_all(files: Sequence[str], column: str = "text") -> list[GivenText]:
    """Read the texts of files: a plain file is one text; a table has one per row; `-` is standard input.

    A final line break is not part of a text. Raises UserError for a file that is missing, unreadable, in another
    format or encoding, without the column, or without texts, and for an empty text.
    """
    if files.count(STDIN) > 1:
        raise UserError("standard input (-) is given twice, but can be read only once")
    found = [text for file in files for text in _read(file, column)]
    for one in found:
        if not one.text.strip():
            raise UserError(
                f"{one.place}: the text is empty\n  an empty text is no evidence of who wrote it; leave it out"
            )
    return found


def _read(file: str, column: str) -> list[GivenText]:
    if file == STDIN:
        read = text_files.bounded(sys.stdin.buffer, "standard input")
        return [GivenText("standard input", None, text_files.decoded(read, "standard input"))]
    path = Path(file)
    kind = text_files.ending(path)
    if not path.is_file():
        raise UserError(f"{file} is a folder; give its files" if path.is_dir() else f"no file {file!r}")
    if kind in text_files.PLAIN:
        return [GivenText(file, None, text_files.decoded(text_files.content(path), file))]
    if kind not in text_files.TABLES:
        raise UserError(f"{file}: the format is unknown\n  known formats: {FORMATS}")
    table = text_files.rows(path, [column], "--text-column names the column with the texts")
    found = [text_files.text_of(record, column, place) for place, record in table]
    if not found:
        raise UserError(f"{file}: the file has no texts")
    return [GivenText(file, row, text) for row, text in enumerate(found, 1)]
