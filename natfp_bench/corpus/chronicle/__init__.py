"""Chronicle: an embedded corpus of short English-like documents whose exact probability is known.

Each document is one paragraph of simple nineteenth-century prose, drawn from a seeded probabilistic grammar. It has a
Zipfian lexicon, ten topics that change the word distributions, characters and places that persist, agreement of
number and tense, dates that advance, and dialogue. It needs no download and is the same, byte for byte, on every
machine. Text and derivation correspond one to one (see `choices`), so the code length of each document is exact. No
language model of these documents can do better than that.

Reading order: `grammar`, beginning with its `document`; below it `openings`, `dialogue`, `clauses` (with `subjects`,
`objects`, `settled`), `phrases` and `scene`; at the bottom `lexicon` (with `words`, `morphology`), `choices` and
`interpreters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from natfp_bench.base.errors import did_you_mean

from . import grammar, lexicon
from .choices import random_words
from .interpreters import Reader, Writer
from .words import TOPICS

__all__ = ["TOPICS", "VERSION", "Story", "bits", "document", "word_types"]

VERSION = 1  # of the texts: any change of a single byte of any document raises it


class Story(NamedTuple):
    """A text and its exact code length: bits = -log2 P(text), the choice to end included."""

    text: str
    bits: float


def document(seed: int, index: int, *, topics: Sequence[str] | None = None) -> Story:
    """Write document `index` of stream `seed`: a pure function of (VERSION, seed, index, topics).

    topics: each is equally probable; None means all. Raises ValueError for an unknown topic.
    """
    writer = Writer(random_words("chronicle", VERSION, seed, index))
    grammar.document(writer, _checked(topics))
    return Story(writer.text(), writer.bits)


def bits(text: str, *, topics: Sequence[str] | None = None) -> float:
    """Code length of a text under the grammar, -log2 P(text). Only the text is needed: it is parsed.

    Raises ValueError, which names the character position, if the text is not a document (of these topics).
    """
    reader = Reader(text, lexicon.PROPER)
    grammar.document(reader, _checked(topics))
    reader.finish()
    return reader.bits


def word_types() -> frozenset[str]:
    """Every word type that a document can have, in lower case, without numerals in digits."""
    return lexicon.word_types()


def _checked(topics: Sequence[str] | None) -> tuple[str, ...]:
    if topics is None:
        return TOPICS
    for topic in topics:
        if topic not in TOPICS:
            raise ValueError(f"unknown topic {topic!r}{did_you_mean(topic, TOPICS)}; known: {', '.join(TOPICS)}")
    if not topics or len(set(topics)) < len(topics):
        raise ValueError(f"topics must be one or more names, each once, not {list(topics)}")
    return tuple(topics)
