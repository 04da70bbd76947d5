"""Words of texts in several scripts, and the types of words and tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.corpus.words import FUNCTION_WORDS, WORD_TYPES, token_types, word_types, words


def types(text: str) -> dict[str, str]:
    return {text[start:end]: kind for start, end, kind in word_types(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("The cat sat.", ["The", "cat", "sat", "."]),
        ("Don't! It’s dogs' o'clock", ["Don't", "!", "It’s", "dogs", "'", "o'clock"]),
        ("well-known -- _so_?!", ["well", "-", "known", "--", "_", "so", "_", "?!"]),
        ("1,000.50 on the 3rd, 7.", ["1,000.50", "on", "the", "3rd", ",", "7", "."]),
        ("B2B $5 (x)...", ["B2B", "$", "5", "(", "x", ")", "..."]),
        ("Über cafe\u0301 naïve", ["Über", "cafe\u0301", "naïve"]),
        ("Война и мир", ["Война", "и", "мир"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("日本語, abc日本", ["日", "本", "語", ",", "abc", "日", "本"]),
        ("a\ufffdb", ["a", "\ufffd", "b"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_only_whitespace_is_lost(text: str) -> None:
    found = word_types(text)
    assert [text[start:end] for start, end, _ in found] == words(text)
    assert "".join(words(text)) == "".join(text.split())
    assert words(" ".join(words(text))) == words(text)
    assert {kind for *_, kind in found} <= set(WORD_TYPES) - {"end"}


def test_types_of_words() -> None:
    text = "The seven girls gave Anna 12 apples, and she didn’t thank them in London."
    assert types(text) == {
        "The": "function", "seven": "content", "girls": "content", "gave": "content", "Anna": "name", "12": "number",
        "apples": "content", ",": "punctuation", "and": "function", "she": "function", "didn’t": "function",
        "thank": "content", "them": "function", "in": "function", "London": "name", ".": "punctuation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Kate ran.", "content"),
        ("So Kate ran.", "name"),
        ("It rained. Kate ran.", "content"),
        ("It rained!\nKate ran.", "content"),
        ("THE END\n\nKate ran", "content"),
        ("O gentle\n Kate, run", "content"),
        ("a line\nof Kate ran", "name"),
        ("It was Mr. Kate.", "name"),
        ("He said, Kate ran.", "name"),
        ('He said, "Kate ran."', "content"),
        ("He said: “Kate ran.”", "content"),
        ('"I ran," Kate said.', "name"),
        ('the "Kate" sank', "name"),
        ('She left. "Kate ran."', "content"),
        ("She left (Kate ran).", "name"),
        ("in 1990 Kate ran", "name"),
        ("so KATE Kate's Kate", "name"),
    ],
)
def test_names_are_capitalised_words_within_sentences(text: str, kind: str) -> None:
    assert types(text)["Kate"] == kind


def test_function_words_are_about_two_hundred_lower_case_words() -> None:
    assert 200 < len(FUNCTION_WORDS) < 320
    assert all(word == word.lower() for word in FUNCTION_WORDS)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([""], ["end"]),
        (["The", " c", "at", " sat", ".", ""], ["function", "content", "content", "content", "punctuation", "end"]),
        (["by", " Lon", "don", " ", "20", "12"], ["function", "name", "name", "number", "number", "number"]),
        (["a", " \n", "\n"], ["function", "function", "function"]),
        ([" ", "\n"], ["punctuation", "punctuation"]),
        (["house", ", and", "s"], ["content", "content", "content"]),  # "ands" is a content word
        (["house", ", and", " so"], ["content", "function", "function"]),
        (["now", ".T", "he", " of!?"], ["function", "punctuation", "function", "function"]),
        (["of", ".\n", "Dogs"], ["function", "punctuation", "content"]),
        (["of", " caf", "\ufffd", "\ufffd"], ["function", "content", "punctuation", "punctuation"]),
        (["don", "'", "t", " ", "walk"], ["function", "function", "function", "content", "content"]),
    ],
)
def test_types_of_tokens(pieces: list[str], expected: list[str]) -> None:
    assert token_types(pieces) == expected


@given(st.lists(st.text(alphabet="aB .,1\n’é\ufffd", max_size=5)))
def test_each_token_has_a_type_and_the_empty_one_ends(pieces: Sequence[str]) -> None:
    found = token_types(pieces)
    assert [kind == "end" for kind in found] == [not piece for piece in pieces]
    assert set(found) <= set(WORD_TYPES)


def test_a_text_cut_into_its_words_has_their_types() -> None:
    text = 'At noon, Mary said: "Come, it is 12:30!"\n\nNobody came...'
    places = word_types(text)
    ends = [0, *(end for _, end, _ in places)]
    pieces = [text[a:b] for a, b in itertools.pairwise(ends)]
    assert token_types(pieces) == [kind for *_, kind in places]
