"""Texts that are cut to bytes, or shown on a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natfp_bench.base.text import first_bytes, one_line, printable


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


@given(st.text())
def test_a_name_is_one_line(name: str) -> None:
    shown = one_line(name)
    assert len(f"{shown}|".splitlines()) == 1
    assert shown == name or not name.isprintable()
    assert printable(name) == shown.replace("\\n", "\n") or "\\n" in name
