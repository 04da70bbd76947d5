"""The command `report`: thin, as all of the command line."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

FORMATS = ("html", "md", "text")


def report(
    results: Annotated[list[Path] | None, typer.Argument(help="result.json files, or folders of them")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for the site; with --format md a file")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="html, md (tables for a README), or text (in the terminal)")
    ] = "html",
    figures: Annotated[Path | None, typer.Option(help="folder for every figure as SVG and PDF, for papers")] = None,
    only: Annotated[str | None, typer.Option(help="of --figures those of these names (a,b; * is anything)")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="write into a folder that holds other files")] = False,
    store: Annotated[Path | None, typer.Option("--store", help="default: as of run")] = None,
) -> None:
    """Make a site of results: leaderboards, and a page for each task and attributor (default: of results/)."""
    from natfp_bench.pipeline.result import find
    from natfp_bench.pipeline.store import default_root
    from natfp_bench.report import markdown
    from natfp_bench.report import site as reports

    from . import console, terminal

    if format_ not in FORMATS:
        raise unknown("format", format_, FORMATS)
    if format_ == "html" and output is None and figures is None:
        raise UserError("report: where to?\n  add -o site, --figures figures, --format md or --format text")
    if format_ == "text" and output is not None:
        raise UserError(f"-o {output} takes a site or Markdown, and --format text is for the terminal\n  leave one out")
    if only and figures is None:
        raise UserError("--only chooses among figures\n  add --figures FOLDER")
    found = reports.read(find(results or [Path("results")]), store or default_root())
    errors, out = terminal.stderr(), terminal.stdout()
    for fault in found.found.faults:
        terminal.error(errors, f"skipped: {fault}")
    made = list(reports.pages(found)) if figures or format_ == "html" else []
    drawn = reports.chosen_figures(made, only.split(",") if only else ())
    if format_ == "md":
        text = markdown.summary(found.found)
        terminal.write(text, output)
    else:
        console.print_summary(out, found.found)
    if format_ == "html" and output is not None:
        command = shlex.join(["natfp-bench", *sys.argv[1:]])
        site = reports.render(made, reports.written_by(command))
        reports.write(site, output, overwrite=overwrite)
        out.print(
            f"{len(made)} pages, {site.bytes / 1e6:,.1f} MB: {output / 'index.html'}", markup=False, soft_wrap=True
        )
    if figures is not None:
        reports.write_figures(drawn, figures)
        # With Markdown on standard output, it is the Markdown's alone.
        (errors if format_ == "md" else out).print(
            f"{len(drawn)} figures, as SVG and PDF: {figures}", markup=False, soft_wrap=True
        )
    if found.found.faults:
        raise typer.Exit(1)
