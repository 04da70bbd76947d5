"""Documents of text files: one file after another, or several in equal amounts."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import file_digest

from . import documents, text_files
from .documents import Corpus, Document, pieces
from .metas import CorpusFile, CorpusOrigin

LONGEST_LINE = 100_000_000
"""Most characters of a line of JSON, which is held in memory: a small archive can unpack to a line of any length."""


@dataclass(frozen=True)
class TextFiles:
    """UTF-8 files, gzipped or not: documents separated by blank lines, or one JSON object per line with `text`."""

    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.paths:
            raise UserError("corpus 'text:' names no file\n  write text:PATH[,PATH...]")
        for path in self.paths:
            _check_readable(path)

    def identity(self) -> dict[str, Any]:
        """Return the digests of the files' bytes; their paths do not matter."""
        return {"text": [[_format(path), file_digest(path)] for path in self.paths]}

    def documents(self) -> Iterator[Document]:
        """Stream the files one after another, in bounded memory."""
        for path in self.paths:
            try:
                with _open(path) as file:
                    parts = _json_lines(file, path) if _format(path).startswith(".jsonl") else _paragraphs(file)
                    yield from (Document(text) for text in parts)
            except UnicodeDecodeError as error:
                # The error counts its position from the last chunk, so the message shows the byte instead.
                raise text_files.not_utf8(str(path), f"byte {error.object[error.start]:#04x}") from None
            except text_files.UNREADABLE as error:
                raise UserError(f"{path}: cannot be read ({error})") from None

    def origin(self) -> CorpusOrigin:
        """Return the files."""
        sizes = [(path.name, path.stat().st_size, file_digest(path)) for path in self.paths]
        return CorpusOrigin(files=tuple(CorpusFile(name=name, bytes=size, digest=of) for name, size, of in sizes))


@dataclass(frozen=True)
class Mixture:
    """Text files in equal amounts: each next document is of the file of which the fewest bytes were read.

    Files before others win ties. The stream ends with the first file that ends, so that the amounts stay equal.
    """

    of: tuple[TextFiles, ...]

    def identity(self) -> dict[str, Any]:
        """Return the files' digests, and that they are mixed."""
        return {"mixture": [one.identity()["text"][0] for one in self.of]}

    def documents(self) -> Iterator[Document]:
        """Stream the files side by side."""
        streams = [one.documents() for one in self.of]
        read = [0] * len(streams)
        while True:
            least = read.index(min(read))
            if (found := next(streams[least], None)) is None:
                return
            read[least] += len(found.text.encode())
            yield found

    def origin(self) -> CorpusOrigin:
        """Return the files of all parts."""
        return CorpusOrigin(files=tuple(file for one in self.of for file in one.origin().files))


def parts_of(paths: tuple[Path, ...], numbers: tuple[int, ...]) -> Corpus:
    """The named files of a corpus of several, counted from 1."""
    found = [TextFiles((path,)) for path in paths] or [TextFiles(paths)]
    if missing := [number for number in numbers if number > len(found)]:
        given = f"{len(found)} file{'s' if len(found) > 1 else ''}"
        raise UserError(
            f"corpus.part names file {missing[0]}, and --corpus names {given}\n"
            "  write --corpus text:FIRST,SECOND with one file of each kind of text"
        )
    chosen = tuple(found[number - 1] for number in numbers)
    return chosen[0] if len(chosen) == 1 else Mixture(chosen)


def _format(path: Path) -> str:
    """How a file is read, by the end of its name: `.jsonl`, `.gz`, `.jsonl.gz`, or an empty string for plain text."""
    name = path.name.lower()
    return next((ending for ending in (".jsonl.gz", ".jsonl", ".gz") if name.endswith(ending)), "")


def _open(path: Path) -> IO[str]:
    """Open for reading; all line ends are read as one kind, and a byte order mark is skipped."""
    if _format(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _check_readable(path: Path) -> None:
    if not os.path.exists(path):
        raise UserError(f"no file {str(path)!r}\n  --corpus text:PATH takes UTF-8 files, also .gz and .jsonl")
    if not path.is_file():
        raise UserError(f"{str(path)!r} is not a file\n  name the files: text:{path}/a.txt,{path}/b.txt")
    try:
        with gzip.open(path) if _format(path).endswith(".gz") else path.open("rb") as file:
            chunks = iter(lambda: file.read(65_536), b"")
            start = next((chunk for chunk in chunks if chunk.strip()), b"")
    except text_files.UNREADABLE as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not start:
        raise UserError(f"{path}: the file is empty")
    text_files.refuse_marked(start, str(path))
    if b"\0" in start:
        raise UserError(f"{path}: a binary file, not text\n  --corpus text:PATH takes UTF-8 text")


def _paragraphs(file: IO[str]) -> Iterator[str]:
    lines: list[str] = []
    length = 0
    while line := file.readline(documents.MAX_CHARACTERS - length):
        if line.strip():
            lines.append(line)
            length += len(line)
        if lines and (not line.strip() or length == documents.MAX_CHARACTERS):
            yield "".join(lines).strip()
            lines, length = [], 0
    if lines:
        yield "".join(lines).strip()


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise UserError(f"{path}: a line has more than {LONGEST_LINE:,} characters\n  put each document on a line")
        yield line


def _json_lines(file: IO[str], path: Path) -> Iterator[str]:
    for place, record in text_files.json_lines(_lines(file, path), str(path)):
        text_files.require(record, ["text"], place, "each line has its document in the field 'text'")
        yield from pieces(text_files.text_of(record, "text", place))
