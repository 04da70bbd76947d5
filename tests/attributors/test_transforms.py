"""Transforms: what each of them keeps; they depend on nothing but the text and the seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.attributors.transforms import TRANSFORMS, apply
from natfp_bench.corpus.words import word_types, words

TEXT = 'The old miller sold 12 apples to Anna -- and then,\nhe said: "Don\'t eat them!"'
PROSE = st.text() | st.lists(st.sampled_from(["the", "Cat", "it's", "Ann", "12", ",", ". ", "\n\n", " "])).map("".join)
ALL = pytest.mark.parametrize("name", TRANSFORMS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lower_case", 'the old miller sold 12 apples to anna -- and then,\nhe said: "don\'t eat them!"'),
        ("no_punctuation", "The old miller sold 12 apples to Anna and then he said Don't eat them"),
        ("truncated", "The old miller sold 12 apples to Anna -- and then"),
        ("function_words", "The to and then he Don't them"),
        ("content_words", "old miller sold apples said eat"),
    ],
)
def test_what_is_kept(name: str, expected: str) -> None:
    assert apply(name, [TEXT]) == [expected]


@ALL
def test_empty_texts_survive(name: str) -> None:
    assert apply(name, ["", "a", ""])[::2] == ["", ""]
    assert apply(name, []) == []
    assert words(apply(name, [" \n "])[0]) == []


@ALL
@given(st.lists(PROSE, max_size=3), st.integers(0, 9))
def test_transforms_are_pure(name: str, texts: list[str], seed: int) -> None:
    """A result does not depend on the other texts; equal texts get equal results."""
    together = apply(name, [*texts, *texts], seed)
    assert together == [apply(name, [text], seed)[0] for text in texts] * 2


@pytest.mark.parametrize("name", ["lower_case", "no_punctuation", "function_words"])
@given(PROSE)
def test_twice_is_once(name: str, text: str) -> None:
    once = apply(name, [text])
    assert apply(name, once) == once


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("no_punctuation", {"function", "content", "name", "number"}),
        ("function_words", {"function"}),
        ("content_words", {"content"}),
    ],
)
@given(PROSE)
def test_words_are_kept_by_type(name: str, kept: set[str], text: str) -> None:
    result = apply(name, [text])[0]
    assert words(result) == [text[start:end] for start, end, kind in word_types(text) if kind in kept]


@given(PROSE, st.integers(0, 9))
def test_shuffling_keeps_the_words(text: str, seed: int) -> None:
    assert Counter(words(apply("shuffled_words", [text], seed)[0])) == Counter(words(text))


def test_shuffles_differ_by_seed_and_text() -> None:
    first = apply("shuffled_words", [TEXT, TEXT + " x"])
    assert first[0] != apply("shuffled_words", [TEXT], seed=1)[0]
    assert first[1].replace(" x", "").removeprefix("x ") != first[0]
    # Each text has its own permutation, so every word comes first in some of them.
    starts = Counter(words(text)[0] for text in apply("shuffled_words", ["a b c d" + " x" * i for i in range(400)]))
    assert min(starts[word] for word in "abcd") > 0


@given(PROSE)
def test_half_a_text_is_a_prefix(text: str) -> None:
    half = apply("truncated", [text])[0]
    assert text.startswith(half)
    assert len(words(half)) == (len(words(text)) + 1) // 2


def test_an_unknown_transform_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown transform 'lowercase' \(did you mean 'lower_case'\?\)"):
        apply("lowercase", ["a"])
