"""Tables on narrow terminals: no word is cut, no column is left out, and lines are no longer than the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from natfp_bench.cli import terminal

COLUMNS = ("rank", "attributor", "accuracy, 95%", "verdict", "seen\nreplicates")
ROWS = [
    ("1", "likelihood_reference", "0.612 0.541–0.684", "not testable", "0.54 ± 0.06"),
    ("2", "ngram_lm", "0.628 0.566–0.689", "found", "-0.10 to -0.02"),
    ("", "seen replicates only:", "", "", ""),
]


def printed(width: int, rows: Sequence[Sequence[str]] = ROWS, loose: Sequence[str] = ()) -> str:
    file = io.StringIO()
    made = terminal.table("a title", COLUMNS, rows, right=("rank", "seen\nreplicates"), loose=loose)
    Console(file=file, width=width).print(made)
    return file.getvalue()


@pytest.mark.parametrize("loose", [(), ("attributor",), ("verdict",), ("absent",)])
@pytest.mark.parametrize("width", [40, 45, 60, 80, 200])
def test_every_word_of_every_column_is_shown_whole(width: int, loose: Sequence[str]) -> None:
    shown = printed(width, loose=loose)
    assert max(map(len, shown.splitlines())) <= width
    words = [word for cell in (*COLUMNS, *(cell for row in ROWS for cell in row)) for word in cell.split()]
    assert set(words) <= set(shown.split())
    for number in ("0.54 ± 0.06", "-0.10 to -0.02"):
        assert number in shown


def test_columns_without_room_continue_below_the_names() -> None:
    assert printed(80).count("ngram_lm") == 1
    narrow = printed(45)
    assert narrow.count("ngram_lm") == 3
    assert narrow.index("accuracy,") < narrow.index("found") < narrow.index("0.54 ± 0.06")
    assert narrow.splitlines()[1].startswith("rank")


def test_a_word_wider_than_the_terminal_is_broken_not_lost() -> None:
    shown = printed(30, [("1", "x" * 70, "0.5", "found", "0.1")])
    assert max(map(len, shown.splitlines())) <= 30
    assert shown.count("x") >= 70
    assert "found" in shown


def test_indented_lines_stay_indented() -> None:
    file = io.StringIO()
    terminal.say(Console(file=file, width=30), "some words that do not fit into one line", indent=3)
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("   ") and len(line) <= 30 for line in lines)
