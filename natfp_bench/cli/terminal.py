"""What every command prints with: consoles, tables and errors. Piped output gets plain lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from natfp_bench.base.errors import UserError
from natfp_bench.base.text import one_line, printable
from natfp_bench.report.table import ReportTable

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


def warner(console: Console) -> Callable[[str], None]:
    """Return a function that prints a warning."""
    return lambda text: console.print(f"warning: {printable(text)}", markup=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def print_table(out: Console, made: ReportTable) -> None:
    """Print a table, with its caption below."""
    shown = made.plain(narrow=out.width < ROOMY)
    out.print(table(shown.title, shown.columns, shown.texts, right=shown.right, loose=shown.loose))
    if shown.caption:
        out.print(printable(shown.caption), markup=False, style="dim")
    out.print()


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

    right: the columns of numbers. loose: only these columns break their lines; if none is named, the longest ones do.
    """
    made = Table(box=None, pad_edge=False, show_header=header)
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in right else "left"
        made.add_column(escape(column), justify=justify, overflow="fold", no_wrap=bool(loose) and column not in loose)
    for row in rows:
        made.add_row(*(escape(one_line(cell)) for cell in row))
    return Group(Text(printable(title), style="bold"), made) if title else made


def error(console: Console, message: str) -> None:
    """Print an error message, its first line marked."""
    console.print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)


def write(text: str, output: Path | None, *, marks: Sequence[str]) -> None:
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
