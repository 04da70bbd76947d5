"""Whatever a text holds, wherever output goes, and in every locale: it is shown, and never obeyed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_python import ROOT
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from natfp_bench.cli import terminal
from natfp_bench.cli.progress import Watcher
from natfp_bench.pipeline.engine import Event, Job
from natfp_bench.report.table import ReportTable

ODD = st.text(st.characters() | st.sampled_from("\x1b\x07\r\n\x9b\u202e[]\\"), max_size=20)


def _table(out: Console, text: str) -> None:
    terminal.print_table(out, ReportTable(text, ("name",), [(text,)], caption=text))


def _job(out: Console, text: str) -> None:
    job = Job(text, "train", "m:f", None)
    with Watcher(out) as watch:
        watch(Event("start", job))
        watch(Event("end", job))


LINES: dict[str, tuple[Callable[[Console, str], None], int]] = {
    "say": (terminal.say, 1),
    "table": (_table, 5),
    "job": (_job, 1),
}
"""What shows a name, and on how many lines."""


@pytest.mark.parametrize("how", LINES)
@given(text=ODD)
def test_a_name_is_neither_obeyed_nor_markup_and_breaks_no_line(how: str, text: str) -> None:
    show, lines = LINES[how]
    file = io.StringIO()
    show(Console(file=file, width=500, highlight=False, emoji=False), text)
    shown = file.getvalue()
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert shown.count("\n") <= lines
    assert "[b]" not in text or "[b]" in shown


@pytest.mark.parametrize("show", [terminal.warn, terminal.error])
@given(text=ODD)
def test_a_message_may_have_lines_and_nothing_else(show: Callable[[Console, str], None], text: str) -> None:
    file = io.StringIO()
    show(Console(file=file, width=500), text)
    assert all(character.isprintable() or character == "\n" for character in file.getvalue())


# The rest runs the command line as a process of its own, whose streams and locale are its own.

HOSTILE = "\x1b]0;owned\x07 naïve ☃ \U0001f600 \u202e"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with a task whose texts want to be obeyed."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    text = json.dumps(HOSTILE, ensure_ascii=False)
    levels = "levels: {low: x0.5, high: x2}"
    factor = f"factor:\n  name: {text}\n  fields: [optimizer.lr]\n  {levels}\n"
    content = f"task: odd\nversion: 1\nsummary: {text}\ntags: [{text}]\n{factor}"
    (folder / "odd.yaml").write_text(content, encoding="utf-8")
    return folder


COMMANDS = [
    ("--help",),
    ("--version",),
    ("list", "--include-path", "tasks"),
    ("list", "--json", "--include-path", "tasks"),
    ("show", "odd", "--include-path", "tasks"),
    ("show", "odd", "--json", "--include-path", "tasks"),
    ("schema",),
]


def natfp(folder: Path, *arguments: str, stdout: int = subprocess.PIPE, **variables: str) -> tuple[int, bytes, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "natfp_bench", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=300
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_any_encoding_will_do(tasks: Path, command: tuple[str, ...], variables: dict[str, str]) -> None:
    code, out, err = natfp(tasks.parent, *command, **variables)
    assert (code, err) == (0, "")
    shown = out.decode("latin-1")
    assert all(character.isprintable() or character == "\n" for character in shown)
    if "--json" in command and "odd" in shown:
        found = json.loads(shown)
        summary = found["summary"] if isinstance(found, dict) else found[-1]["summary"]
        assert summary.encode("latin-1", "ignore").decode("latin-1") == HOSTILE.encode("latin-1", "ignore").decode(
            "latin-1"
        )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_full_disk_below_standard_output_is_one_message(
    tasks: Path, command: tuple[str, ...], unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = natfp(tasks.parent, *command, stdout=full.fileno(), PYTHONUNBUFFERED=unbuffered)
    assert code == 2
    assert err == "error: standard output cannot be written (No space left on device)\n  what was finished is kept\n"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_leaves_ends_in_silence(tasks: Path, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert natfp(tasks.parent, "schema", stdout=writing, PYTHONUNBUFFERED=unbuffered)[::2] == (1, "")
    os.close(writing)


def test_news_that_nobody_can_be_told_stop_nothing(tasks: Path) -> None:
    command = [sys.executable, "-m", "natfp_bench", "run", "--tag", "seeds", "--preset", "smoke", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=tasks, env=environment, stdout=subprocess.PIPE, stderr=full, check=False, timeout=300
        )
    assert done.returncode == 0
    assert b"seed_id at preset smoke" in done.stdout
