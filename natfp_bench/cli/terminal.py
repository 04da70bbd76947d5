"""What every command prints with: consoles, lines, tables, warnings and errors. Piped output gets plain lines.

Texts may come from anywhere, so each function here spells out control characters, and no other module prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from natfp_bench.base.errors import UserError
from natfp_bench.base.text import json_text, one_line, printable
from natfp_bench.report.table import ReportTable

from .text_table import Column, TextTable

WIDE = 200
"""Columns of piped output, so that the lines of a log do not depend on the width of a terminal."""

ROOMY = 110
"""From this many columns on, a table also shows its less important columns."""


def stdout() -> Console:
    """Console for the output of a command."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """Console for progress, warnings and errors, so that standard output can be piped."""
    return Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else WIDE)


def say(console: Console, *lines: str, wrap: bool = True, style: str = "", indent: int = 0) -> None:
    """Print lines; wrap: break those that are too long for the console. indent: blanks before each."""
    for line in lines:
        made = Text(one_line(line), style)
        for part in made.wrap(console, max(console.width - indent, 1)) if wrap and indent else [made]:
            show(console, Text(" " * indent) + part, soft_wrap=not wrap)


def show(console: Console, made: RenderableType, *, soft_wrap: bool = False) -> None:
    """Print a table or a line that this module made. Work goes on if standard error cannot be written."""
    try:
        console.print(made, soft_wrap=soft_wrap)
    except OSError:
        if not console.stderr:
            raise
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Send the rest of a stream nowhere; Python would try to write it once more at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def warn(console: Console, message: str) -> None:
    """Print a warning."""
    show(console, Text.assemble(("warning:", "yellow"), " ", printable(message)))


def warner(console: Console) -> Callable[[str], None]:
    """Return a function that prints a warning."""
    return lambda message: warn(console, message)


def print_json(value: Any, output: Path | None = None, *, marks: Sequence[str] = ()) -> None:
    """Write a value as JSON to standard output, or to a file; marks: see `write`."""
    write(json_text(value), output, marks=marks)


def print_table(out: Console, made: ReportTable) -> None:
    """Print a table, with its caption below."""
    shown = made.plain(narrow=out.width < ROOMY)
    show(out, table(shown.title, shown.columns, shown.texts, right=shown.right, loose=shown.loose))
    if hidden := [" ".join(name.split()) for name in made.wide if name in made.columns and name not in shown.columns]:
        say(out, f"shown from {ROOMY} columns on: {', '.join(hidden)}", style="dim")
    if shown.caption:
        say(out, shown.caption, style="dim")
    say(out, "")


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    loose: Sequence[str] = (),
    header: bool = True,
) -> RenderableType:
    """Make a table below its title. Cells are shown as they are, never as markup.

    right: the columns of numbers, whose cells never break. loose: only these columns break their lines; without any
    of them, all others do.
    """
    breaking = [column for column in columns if column in loose] or columns
    cells = [[one_line(row[place]) for row in rows] for place in range(len(columns))]
    made = TextTable(
        [
            Column(printable(column), own, right=column in right, breaks=column in breaking and column not in right)
            for column, own in zip(columns, cells, strict=True)
        ],
        header=header,
    )
    return Group(Text(one_line(title), style="bold"), made) if title else made


def error(console: Console, message: str) -> None:
    """Print an error message, its first line marked."""
    show(console, Text.assemble(("error:", "bold red"), " ", printable(message)), soft_wrap=True)


def skipped(console: Console, faults: Sequence[str]) -> None:
    """Name each result that cannot be read, and count them."""
    for fault in faults:
        error(console, f"skipped: {fault}")
    if len(faults) > 1:
        error(console, f"{len(faults)} results were skipped in all")


def write(text: str, output: Path | None, *, marks: Sequence[str] = ()) -> None:
    """Write a text to standard output, or to a file.

    marks: every text of this command contains one of them. Raises UserError if the file cannot be written, or was
    written by something else.
    """
    if output is None:
        sys.stdout.write(text)
        return
    try:
        if output.is_file() and (old := output.read_bytes()) and not any(mark.encode() in old for mark in marks):
            raise UserError(f"{output} was not written by this command, so it is not overwritten\n  take another file")
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})\n  take another file") from None
