"""What every command prints with: consoles, tables, faults; plain lines where output is piped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from natfp_bench.base.errors import UserError
from natfp_bench.report.cells import Sheet, printable

WIDE = 200
"""Columns of piped output: nobody's terminal should decide where a log breaks its lines."""

ROOMY = 110
"""Columns from which on a table shows what it can do without."""


def stdout() -> Console:
    """Console for what a command was asked for."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)


def stderr() -> Console:
    """Console for progress, warnings and errors, so that standard output can be piped."""
    return Console(stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else WIDE)


def print_sheet(out: Console, sheet: Sheet) -> None:
    """Print a table, and below it how to read it."""
    shown = sheet if out.width >= ROOMY else sheet.narrow()
    out.print(table(shown.title, shown.columns, shown.rows, right=shown.right, loose=shown.loose))
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
) -> Table:
    """Make a table; `right` names the columns of numbers. Cells are shown as they are, never as markup.

    loose: columns that alone break their lines; without any, whatever is longest does.
    """
    made = Table(
        title=escape(printable(title)) or None, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in right else "left"
        made.add_column(escape(column), justify=justify, overflow="fold", no_wrap=bool(loose) and column not in loose)
    for row in rows:
        made.add_row(*(escape(printable(cell)) for cell in row))
    return made


def error(console: Console, message: str) -> None:
    """Print a fault: one message, the first line marked."""
    console.print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)


def write(text: str, output: Path | None) -> None:
    """Print as it is, or write to a file and the folders above it; raises UserError where that cannot be."""
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from None
