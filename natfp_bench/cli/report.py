"""The command `report`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

from .options import RESULTS, Results, StoreRoot, command, names, one_of


def report(
    results: Results = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder of the site; with --format md, a file")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="html, md (tables for a README), or text (in the terminal)")
    ] = "html",
    figures: Annotated[Path | None, typer.Option(help="also write every figure as SVG and PDF to this folder")] = None,
    only: Annotated[
        str | None, typer.Option(help="with --figures: only figures of these names (a,b; * stands for any text)")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="write into a folder that has other files")] = False,
    store: StoreRoot = None,
) -> None:
    """Make a static site of results.

    It has leaderboards, and a page for each task and each attributor.
    """
    from natfp_bench.pipeline.result import find
    from natfp_bench.pipeline.store import default_root
    from natfp_bench.report import leaderboard_tables, markdown, site

    from . import console, terminal

    one_of("format", format_, ("html", "md", "text"))
    if format_ == "html" and output is None and figures is None:
        raise UserError("report: say what to write\n  add -o site, --figures figures, --format md or --format text")
    if format_ == "text" and output is not None:
        raise UserError(f"-o {output} cannot be combined with --format text, which prints in the terminal")
    if only and figures is None:
        raise UserError("--only chooses figures, so it needs --figures FOLDER")
    found = site.read(find(results or [RESULTS]), store or default_root())
    errors, out = terminal.stderr(), terminal.stdout()
    terminal.skipped(errors, found.found.faults)
    chosen = names([only or ""])
    told, cores = _progress(errors), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # Without a site, only the pages of the figures that somebody asked for are made.
    asked = chosen if output is None else []
    made = list(site.pages(found, asked, told, cores)) if figures or format_ == "html" else []
    drawn = site.chosen_figures(made, chosen)
    if format_ == "md":
        terminal.write(markdown.summary(found.found), output, marks=(leaderboard_tables.FACTORS,))
    else:
        console.print_summary(out, found.found)
    if format_ == "html" and output is not None:
        rendered = site.render(made, site.written_by(shlex.join(command())), told)
        site.write(rendered, output, overwrite=overwrite)
        index = output / "index.html"
        terminal.say(out, f"{len(made)} pages, {rendered.bytes / 1e6:,.1f} MB: {index}", wrap=False)
    if figures is not None:
        site.write_figures(drawn, figures, overwrite=overwrite)
        # Standard output has the Markdown alone, if it has any.
        said = errors if format_ == "md" else out
        terminal.say(said, f"{len(drawn)} figures, as SVG and PDF: {figures}", wrap=False)
    if found.found.faults:
        raise typer.Exit(1)


def _progress(errors: Console) -> Callable[[str, int, int], None] | None:
    """Show on a terminal which page is made; None elsewhere."""
    if not errors.is_terminal:
        return None

    def told(path: str, done: int, of: int) -> None:
        # One line that is written again and again; the last page clears it.
        errors.file.write(f"\r\x1b[K{done + 1} of {of} pages: {path}" if done + 1 < of else "\r\x1b[K")
        errors.file.flush()

    return told
