"""A document, and what every corpus can do: stream its documents in an order that never changes.

The digest of a document decides whether it is held out. So a document and all its copies are on the same side, and
no list of documents has to be kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from natfp_bench.base.records import digest

from .metas import CorpusOrigin

HELDOUT_ONE_IN = 20
"""One document in this many is held out."""

MAX_CHARACTERS = 100_000
"""A longer document is cut into pieces of this length, so that memory stays bounded."""


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

    def origin(self) -> CorpusOrigin:
        """Return where the documents come from, as a result states it."""
        ...


@dataclass(frozen=True)
class Texts:
    """Texts that are at hand, as a corpus; empty ones are left out."""

    texts: tuple[str, ...]

    def identity(self) -> dict[str, Any]:
        """Return the digest of all texts."""
        return {"texts": digest(list(self.texts))}

    def documents(self) -> Iterator[Document]:
        """Stream the texts in their order."""
        yield from (Document(text) for text in self.texts if text.strip())

    def origin(self) -> CorpusOrigin:
        """Return nothing: no file has them."""
        return CorpusOrigin()


def pieces(text: str) -> Iterator[str]:
    """Cut a long document into pieces; white space around them, and pieces of white space, are left out."""
    for start in range(0, len(text), MAX_CHARACTERS):
        if part := text[start : start + MAX_CHARACTERS].strip():
            yield part
