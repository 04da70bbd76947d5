"""Transforms that remove one aspect of a text: the accuracy that remains shows where its fingerprint is.

A transform is a pure function of (text, seed). Those that select or reorder words put one space between them, so no
layout remains as a clue. Empty texts stay empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from natfp_bench.base import streams
from natfp_bench.base.errors import did_you_mean
from natfp_bench.corpus.words import word_types, words
from natfp_bench.plan.task_files import TransformName

TRANSFORMS: tuple[str, ...] = get_args(TransformName)
"""Names of all transforms."""

KEPT = {
    "no_punctuation": ("function", "content", "name", "number"),
    "function_words": ("function",),
    "content_words": ("content",),
}
"""Types of words that a transform keeps. Names and numbers show the topic and little of the style.

`content_words` is not idempotent: its result does not show where sentences begin, so a second pass takes their first
words for names.
"""


def apply(name: str, texts: Sequence[str], seed: int = 0) -> list[str]:
    """Apply the transform of that name to each text; raises ValueError if there is none."""
    if name not in TRANSFORMS:
        raise ValueError(f"unknown transform {name!r}{did_you_mean(name, TRANSFORMS)}")
    return [_transformed(name, text, seed) for text in texts]


def middle(text: str) -> int:
    """Where the middle of a text is: behind half of its words and punctuation marks, rounded up; 0 if it has none."""
    ends = [end for _, end, _ in word_types(text)]
    return ends[(len(ends) - 1) // 2] if ends else 0


def _transformed(name: str, text: str, seed: int) -> str:
    match name:
        case "lower_case":
            return text.lower()
        case "shuffled_words":  # with punctuation marks; equal texts get the same order
            found = words(text)
            return " ".join(found[i] for i in streams.permutation(len(found), "shuffled words", seed, text))
        case "truncated":
            return text[: middle(text)]
        case _:
            return " ".join(text[start:end] for start, end, kind in word_types(text) if kind in KEPT[name])
