"""The command `leaderboard`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result
    from natfp_bench.report.trend_document import Part
    from natfp_bench.results.many import ManyCandidates
    from natfp_bench.results.trends import Trend

from .options import RESULTS, Json, Results, one_of


def leaderboard(
    results: Results = None,
    boards: Annotated[
        bool, typer.Option("--boards", help="also rank the attributors of each protocol (always done for one task)")
    ] = False,
    trends: Annotated[
        bool, typer.Option("--trends", help="only the trends: results that differ in settings that were swept")
    ] = False,
    figures: Annotated[
        Path | None,
        typer.Option(help="with --format md and -o: draw the figures of trends, or of curves, in this folder, as SVG"),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="text or md (Markdown)")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write Markdown or JSON to this file")] = None,
    as_json: Json = False,
) -> None:
    """Rank factors by identifiability, and attributors."""
    from natfp_bench.pipeline import curve_result
    from natfp_bench.pipeline.result_files import find
    from natfp_bench.report import markdown, trend_document
    from natfp_bench.results import leaderboard as leaderboards
    from natfp_bench.results.many import many_of
    from natfp_bench.results.protocols import read_protocols
    from natfp_bench.results.trends import trends_of, without_points

    from . import console, terminal

    one_of("format", format_, ("text", "md"))
    if output and format_ == "text" and not as_json:
        raise UserError(f"-o {output}: only Markdown and JSON are written to a file\n  add --format md or --json")
    if figures and not (output and format_ == "md" and not as_json):
        raise UserError(f"--figures {figures}: figures are shown in a document\n  add --format md -o FILE")
    folder = Path(os.path.relpath(figures, output.parent)).as_posix() if figures and output else None
    places = results or [RESULTS]
    files = curve_result.find(places)
    curves, unread = curve_result.read_all(files)
    paths = find([place for place in places if place not in files])
    found = leaderboards.leaderboards(paths)
    terminal.skipped(terminal.stderr(), faults := [*found.faults, *unread])
    if not found.boards:
        raise UserError("no results found\n  natfp-bench run --task seed_id   makes some")
    read = read_protocols(paths)[0]
    swept, many = trends_of(read), many_of(read)
    if trends:
        if as_json or format_ == "text":
            _print_trends(swept, many, as_json=as_json, output=output)
        else:
            parts = trend_document.trend_parts(swept, many, trend_document.crossed_results(list(_sound(paths))))
            if figures:
                _draw(parts, figures)
            text = trend_document.trends_document(parts, folder, swept=bool(swept))
            terminal.write(text, output, marks=(trend_document.WRITTEN, '"trends"'))
        if faults:
            raise typer.Exit(1)
        return
    boards = boards or len({board.task for board in found.boards}) == 1
    marks = (markdown.WRITTEN, '"standings"')
    if as_json:
        terminal.print_json(found.model_dump(mode="json"), output, marks=marks)
    elif format_ == "md":
        shown = without_points(found, swept)
        learnt = trend_document.curve_parts(curves)
        if figures and learnt:
            _draw(learnt, figures)
        text = markdown.render(
            shown,
            list(_sound(paths)),
            boards=boards,
            trends=trend_document.in_short(trend_document.trend_parts(swept, many)),
            curves=trend_document.curves_section(learnt, folder),
        )
        terminal.write(text, output, marks=marks)
    else:
        console.print_leaderboards(terminal.stdout(), without_points(found, swept), boards=boards)
        console.print_trends(terminal.stdout(), swept, many)
    if faults:
        raise typer.Exit(1)


def _print_trends(
    swept: Sequence[Trend], many: Sequence[ManyCandidates], *, as_json: bool, output: Path | None
) -> None:
    """Print the trends alone, or write them as JSON."""
    from natfp_bench.report import trend_document

    from . import console, terminal

    if as_json:
        dumped = {"trends": swept, "many": many}
        shown = {name: [one.model_dump(mode="json") for one in found] for name, found in dumped.items()}
        terminal.print_json(shown, output, marks=(trend_document.WRITTEN, '"trends"'))
        return
    if not swept and not many:
        terminal.say(terminal.stdout(), f"{trend_document.NOTHING}: natfp-bench sweep makes some")
    console.print_trends(terminal.stdout(), swept, many)


def _draw(parts: Sequence[Part], folder: Path) -> None:
    """Draw the figures of a document."""
    from natfp_bench.report import site, trend_document

    site.write_figures(trend_document.figures_of(parts), folder, forms=("svg",))


def _sound(paths: Sequence[Path]) -> Iterator[Result]:
    """The results that can be read; the others are named elsewhere."""
    from natfp_bench.pipeline.result_files import read

    for path in paths:
        with suppress(UserError):
            yield read(path)
