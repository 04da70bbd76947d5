"""Transforms that remove one aspect of a text: the accuracy that remains shows where its fingerprint is.

A transform is a pure function of (text, seed). Those that select or reorder words put one space between them, so no
layout remains as a clue. Empty texts stay empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from natfp_bench.base import streams
from natfp_bench.base.errors import did_you_mean
from natfp_bench.corpus.words import word_types, words


def lower_case(text: str, seed: int = 0) -> str:  # noqa: ARG001  the signature of all transforms
    """Turn all letters into lower case."""
    return text.lower()


def no_punctuation(text: str, seed: int = 0) -> str:  # noqa: ARG001
    """Keep words, names and numbers; an apostrophe inside a word belongs to it."""
    return _only(text, "function", "content", "name", "number")


def shuffled_words(text: str, seed: int = 0) -> str:
    """Put words and punctuation marks into a random order, the same one for equal texts."""
    found = words(text)
    return " ".join(found[i] for i in streams.permutation(len(found), "shuffled words", seed, text))


def truncated(text: str, seed: int = 0) -> str:  # noqa: ARG001
    """Keep the text up to the middle of its words and punctuation marks, rounded up."""
    found = word_types(text)
    half = (len(found) + 1) // 2
    return text[: found[half - 1][1]] if found else ""


def function_words(text: str, seed: int = 0) -> str:  # noqa: ARG001
    """Keep the function words."""
    return _only(text, "function")


def content_words(text: str, seed: int = 0) -> str:  # noqa: ARG001
    """Keep the content words; names and numbers go, because they show the topic and little of the style.

    It is not idempotent: the result does not show where sentences begin, so a second pass takes their first words for
    names.
    """
    return _only(text, "content")


Transform = Callable[[str, int], str]

TRANSFORMS: dict[str, Transform] = {
    transform.__name__: transform
    for transform in (lower_case, no_punctuation, shuffled_words, truncated, function_words, content_words)
}
"""All transforms, by name."""


def apply(name: str, texts: Sequence[str], seed: int = 0) -> list[str]:
    """Apply the transform of that name to each text; raises ValueError if there is none."""
    if name not in TRANSFORMS:
        raise ValueError(f"unknown transform {name!r}{did_you_mean(name, TRANSFORMS)}")
    return [TRANSFORMS[name](text, seed) for text in texts]


def _only(text: str, *types: str) -> str:
    return " ".join(text[start:end] for start, end, kind in word_types(text) if kind in types)
