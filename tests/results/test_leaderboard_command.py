"""The command `leaderboard`: its tables, its formats, and its messages."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fresh_python import loaded_by
from made_results import UNSEEN


@pytest.fixture
def board(natfp: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Call `natfp-bench leaderboard`."""
    return functools.partial(natfp, "leaderboard")


@pytest.fixture
def two(made: Any) -> list[Path]:
    return [made(task, {UNSEEN: {"bayes": 0.1, "likelihood_reference": 0.2}}) for task in ("a_id", "b_id")]


def test_the_command_prints_both_leaderboards(board: Any, two: list[Path]) -> None:
    code, out, err = board(*two)
    assert (code, err) == (0, "")
    assert "factors: how identifiable?" in out
    assert "attributors: which identifies levels best?" in out
    assert "which level of 4?" not in out
    assert board(*two, "--boards")[1].count("which level of 4?") == 2
    assert board(two[0])[1].count("which level of 4?") == 1  # one task is asked for: so is its board


def test_the_command_writes_json_and_markdown(board: Any, two: list[Path], tmp_path: Path) -> None:
    found = json.loads(board(*two, "--json")[1])
    assert [row["task"] for standing in found["standings"] for row in standing["factors"]] == ["a_id", "b_id"]
    assert len(found["boards"]) == 2
    file = tmp_path / "docs" / "results.md"
    code, out, _ = board(*two, "--format", "md", "-o", file)
    assert (code, out) == (0, "")
    assert file.read_text() == board(*two, "--format", "md")[1]
    board(*two, "--json", "-o", file)
    assert json.loads(file.read_text()) == found
    for content in ("mine", '{"mine": 1}', "# Leaderboards of mine\n"):
        file.write_text(content)
        for form in (("--json",), ("--format", "md")):
            code, _, err = board(*two, *form, "-o", file)
            assert (code, file.read_text()) == (2, content)
            assert "not overwritten" in err
    file.write_text("")
    assert board(*two, "--format", "md", "-o", file)[0] == 0, "an empty file holds nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "mdd"], "did you mean: md"),
        (["-o", "x.md"], "add --format md"),
        (["--format", "md", "-o", "/dev/null/x.md"], "/dev/null/x.md: cannot be written"),
    ],
)
def test_the_command_says_what_is_wrong(board: Any, two: list[Path], arguments: list[str], said: str) -> None:
    code, out, err = board(*two, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_the_command_goes_on_past_a_damaged_result(board: Any, two: list[Path]) -> None:
    two[0].write_text("{")
    code, out, err = board(*two)
    assert code == 1
    assert f"skipped: {two[0]}" in err
    assert "b_id" in out
    assert "in all" not in err
    (two[0].parent / "third").mkdir()
    (third := two[0].parent / "third" / "result.json").write_text("[]")
    code, out, err = board(*two, third)
    assert (code, "2 results were skipped in all" in err) == (1, True)


def test_many_tasks_are_ranked_without_a_slow_import(board: Any, made: Any, tmp_path: Path) -> None:
    for i in range(10):
        made(f"task{i}", {UNSEEN: {"x": 0.05 * i + 0.1, "y": 0.05 * i}})
    assert loaded_by("leaderboard", tmp_path, folder=tmp_path) == []
    assert "±" in board(tmp_path)[1]
