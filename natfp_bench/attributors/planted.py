"""Texts to check attributors with: planted ones, whose labels can be learnt, and odd ones, which must do no harm.

Planted texts are short pieces of `chronicle` in which each class has habits: it replaces some articles by a word of its
own, and some full stops by a mark of its own. Every sound method can find them: words, characters, punctuation or
compression.
"""

from __future__ import annotations

import functools
import re

from natfp_bench.base import streams
from natfp_bench.corpus import chronicle

HABITS = {
    "hare": {"the": "this", ".": "!"},
    "lynx": {"the": "that", ".": ".."},
    "owl": {"the": "every", ".": ";"},
}
"""The replacements of each class."""

SHARE = 0.6
"""Share of occurrences that are replaced, unless another one is asked for."""

CHARACTERS = 200
"""Most characters of a planted text, cut between words."""

ODD = {
    "an empty text": "",
    "one character": "a",
    "one blank": " ",
    "100,000 characters of prose": ("The miller sold a boat in the harbour. " * 2565)[:100_000],
    "100,000 characters without a blank": "x" * 100_000,
    "scripts other than Latin": "日本語の文章 العربية हिन्दी עברית Ελληνικά русский",
    "control characters": "\x00\x01\x1b[31m\x7f\u200b\ufeff\r\n\t\u2028",
    "emoji": "🙂👩‍👩‍👧🏳️‍🌈🇯🇵",
}


@functools.cache
def planted(n: int, name: str, share: float = SHARE) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Draw n texts and their labels, one class after the other; other names give other texts."""
    texts, labels = [], []
    own = streams.seed("conformance", name)
    for i in range(n):
        label = list(HABITS)[i % len(HABITS)]
        text = chronicle.document(own, i).text
        words = re.split(r"(\W)", text[: text.rfind(" ", 0, CHARACTERS)])
        drawn = streams.uniforms([i], len(words), "conformance", name, "habits")[0]
        habits = HABITS[label]
        texts.append(
            "".join(habits.get(word, word) if u < share else word for word, u in zip(words, drawn, strict=True))
        )
        labels.append(label)
    return tuple(texts), tuple(labels)
