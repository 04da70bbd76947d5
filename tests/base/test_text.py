"""Texts that are cut to bytes, or shown on a terminal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.text import first_bytes, json_text, one_line, printable


@given(st.text(max_size=30), st.integers(0, 40))
def test_the_first_bytes_are_whole_characters(text: str, size: int) -> None:
    found = first_bytes(text, size)
    assert text.startswith(found)
    assert len(found.encode()) <= size
    # The next character does not fit.
    assert found == text or len(text[: len(found) + 1].encode()) > size


def test_first_bytes_by_hand() -> None:
    assert [first_bytes("aé漢🙂", size) for size in range(11)] == [
        *["", "a", "a", "aé", "aé", "aé", "aé漢", "aé漢", "aé漢", "aé漢", "aé漢🙂"]
    ]


def test_control_characters_are_spelled_out() -> None:
    assert printable("a\x1b[31m\tb\nc\u202e é漢🙂") == "a\\x1b[31m\\tb\nc\\u202e é漢🙂"


ANY = st.text(st.characters(), max_size=30)  # lone surrogates included


@given(ANY)
def test_a_name_stays_on_its_line(text: str) -> None:
    assert one_line(text).isprintable()
    assert printable(text).split("\n") == [one_line(line) for line in text.split("\n")]
    assert one_line(one_line(text)) == one_line(text)


@given(st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_can_be_read_by_people_and_programs(value: Any) -> None:
    assert json.loads(json_text(value)) == value
    assert all(line.isprintable() for line in json_text(value).split("\n"))
