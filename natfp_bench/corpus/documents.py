"""Documents to train on, as streams: from the embedded generator, from text files, or from a data set of the Hub.

The digest of a document decides whether it is held out. So a document and all its copies are on the same side, and
no list of documents has to be kept.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from natfp_bench.base.errors import UserError, did_you_mean
from natfp_bench.base.records import file_digest, folder_digest
from natfp_bench.plan.settings import CorpusSpec

from . import chronicle, text_files

HELDOUT_ONE_IN = 20
"""One document in this many is held out."""

LONGEST_LINE = 100_000_000
"""Most characters of a line of JSON, which is held in memory: a small archive can unpack to a line of any length."""

MAX_CHARACTERS = 100_000
"""A longer document is cut into pieces of this length, so that memory stays bounded."""

KINDS = {
    "chronicle": "embedded generator of simple prose: endless, with known entropy; the default",
    "text:PATH[,PATH...]": "UTF-8 files (also .gz), documents separated by blank lines; .jsonl with a field 'text'",
    "hf:NAME[/CONFIG]": "a data set of the Hugging Face Hub or of a folder, with a column 'text'; streamed",
}


class Document(NamedTuple):
    """A document, and its information content in bits if the true distribution of its source is known."""

    text: str
    bits: float | None = None

    @property
    def heldout(self) -> bool:
        """Whether the document is kept out of training."""
        word = hashlib.sha256(self.text.encode()).digest()[:8]
        return int.from_bytes(word, "big") % HELDOUT_ONE_IN == 0


class Corpus(Protocol):
    """An ordered, repeatable stream of documents."""

    def identity(self) -> dict[str, Any]:
        """Return everything that determines the documents, as JSON; it is part of every key that depends on them."""
        ...

    def documents(self) -> Iterator[Document]:
        """Stream the documents from the first one on."""
        ...


def open_corpus(spec: CorpusSpec) -> Corpus:
    """Open the corpus that a specification names; raises UserError if it cannot be read."""
    kind, _, rest = spec.name.partition(":")
    match kind:
        case "chronicle" if not rest:
            return Chronicle(spec.seed, spec.topic_names)
        case "text":
            return TextFiles(tuple(Path(os.path.expanduser(part)) for part in rest.split(",") if part))
        case "hf":
            return HubDataset(*_hub_name(rest))
    near = did_you_mean(kind, ["chronicle", "text", "hf"])
    raise UserError(f"unknown corpus {spec.name!r}{near}\n  known: {', '.join(KINDS)}")


@dataclass(frozen=True)
class Chronicle:
    """The embedded corpus: endless, and of known entropy. No topics means all of them."""

    seed: int
    topics: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Return the generator's version, seed and topics."""
        return {"chronicle": chronicle.VERSION, "seed": self.seed, "topics": list(self.topics)}

    def documents(self) -> Iterator[Document]:
        """Generate documents without end."""
        index = 0
        while True:
            yield Document(*chronicle.document(self.seed, index, topics=self.topics or None))
            index += 1


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
    while line := file.readline(MAX_CHARACTERS - length):
        if line.strip():
            lines.append(line)
            length += len(line)
        if lines and (not line.strip() or length == MAX_CHARACTERS):
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
        yield from _pieces(text_files.text_of(record, "text", place))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), MAX_CHARACTERS):
        if part := text[start : start + MAX_CHARACTERS].strip():
            yield part


@dataclass(frozen=True)
class HubDataset:
    """The column `text` of a data set that the library `datasets` can load: from the Hub, or from a folder."""

    name: str
    config: str | None

    def identity(self) -> dict[str, Any]:
        """Return name and configuration on the Hub, without a revision; for a folder, the digest of its content."""
        if Path(self.name).is_dir():
            return {"hf": folder_digest(Path(self.name)), "config": self.config}
        return {"hf": self.name, "config": self.config}

    def documents(self) -> Iterator[Document]:
        """Stream the training split."""
        for row in self._rows():
            if not isinstance(row.get("text"), str):
                raise UserError(f"hf:{self} has no column 'text' of strings (columns: {', '.join(row)})")
            yield from (Document(part) for part in _pieces(row["text"]))

    def _rows(self) -> Iterator[dict[str, Any]]:
        import datasets  # slow to import, and only this corpus needs it

        try:
            yield from datasets.load_dataset(self.name, self.config, split="train", streaming=True)
        except Exception as error:  # the library raises dozens of types, and none of them is a bug of ours
            what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
            raise UserError(
                f"hf:{self} cannot be loaded: {what}\n"
                "  check its name; a data set of the Hub needs the network or a filled cache"
            ) from None

    def __str__(self) -> str:
        return self.name + (f"/{self.config}" if self.config else "")


def _hub_name(rest: str) -> tuple[str, str | None]:
    if not rest:
        raise UserError("corpus 'hf:' names no data set\n  write hf:NAME[/CONFIG]")
    if rest.startswith((".", "/", "~")):
        return os.path.expanduser(rest), None
    parts = rest.split("/")
    return ("/".join(parts[:2]), "/".join(parts[2:]) or None)
