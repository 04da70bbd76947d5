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
    from .progress import Watcher

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
    from . import terminal
    from .progress import Watcher

    one_of("format", format_, ("html", "md", "text"))
    if format_ == "html" and output is None and figures is None:
        raise UserError("report: say what to write\n  add -o site, --figures figures, --format md or --format text")
    if format_ == "text" and output is not None:
        raise UserError(f"-o {output} cannot be combined with --format text, which prints in the terminal")
    if only and figures is None:
        raise UserError("--only chooses figures, so it needs --figures FOLDER")
    errors, out = terminal.stderr(), terminal.stdout()
    chosen = names([only or ""])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # A line at once: importing the libraries takes seconds on a busy machine.
    with Watcher(errors, "reading results") as watch:
        from natfp_bench.pipeline import curve_result
        from natfp_bench.pipeline.result_files import find
        from natfp_bench.pipeline.store import default_root
        from natfp_bench.report import leaderboard_tables, markdown, site
        from natfp_bench.results.trends import without_points

        from . import console

        places = results or [RESULTS]
        curves = curve_result.find(places)
        found = site.read(find([one for one in places if one not in curves]), store or default_root(), curves)
        terminal.skipped(errors, found.found.faults)
        made = []
        if figures or format_ == "html":
            watch.now("drawing figures and pages")
            # Without a site, only the pages of the figures that somebody asked for are made.
            made = list(site.pages(found, chosen if output is None else [], _told(watch), cores))
        drawn = site.chosen_figures(made, chosen)
    shown = without_points(found.found, found.trends)
    if format_ == "md":
        terminal.write(markdown.summary(shown), output, marks=(leaderboard_tables.FACTORS,))
    else:
        console.print_summary(out, shown)
    if format_ == "html" and output is not None:
        with Watcher(errors, f"writing {len(made)} pages") as watch:
            rendered = site.render(made, site.written_by(shlex.join(command())), _told(watch))
            site.write(rendered, output, overwrite=overwrite)
        index = output / "index.html"
        terminal.say(out, f"{len(made)} pages, {rendered.bytes / 1e6:,.1f} MB: {index}", wrap=False)
    if figures is not None:
        with Watcher(errors, f"writing {len(drawn)} figures"):
            site.write_figures(drawn, figures, overwrite=overwrite)
        # Standard output has the Markdown alone, if it has any.
        said = errors if format_ == "md" else out
        terminal.say(said, f"{len(drawn)} figures, as SVG and PDF: {figures}", wrap=False)
    if found.found.faults:
        raise typer.Exit(1)


def _told(watch: Watcher) -> Callable[[str, int, int], None]:
    """Show which page is made, where there is a line for what passes."""
    return lambda path, done, of: watch.passing(f"{done + 1} of {of} pages: {path}")
