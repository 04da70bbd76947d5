"""The command `regress`: thin, as all of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

if TYPE_CHECKING:
    from natfp_bench.results.regress_reference import Current


def regress(
    reference: Annotated[Path, typer.Option(help="the reference, a Parquet file")],
    results: Annotated[Path, typer.Option(help="result.json, or a folder of them")] = Path("results"),
    alpha: Annotated[float, typer.Option(min=0, max=1, help="p-value after Holm below which a drop counts")] = 0.01,
    drop: Annotated[float, typer.Option(min=0, max=1, help="accuracy that may be lost")] = 0.02,
    format_: Annotated[str, typer.Option("--format", help="table, md, json, junit or github")] = "table",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="results may lack what the reference has")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="write the reference from the results")] = False,
) -> None:
    """Compare results with a reference on the same texts; exit code 1 on a regression."""
    from natfp_bench.pipeline.result import find
    from natfp_bench.report import regression_formats as regress_formats
    from natfp_bench.results import regress_reference
    from natfp_bench.results.regress import compare

    from . import terminal

    formats = ["table", *regress_formats.FORMATS]
    if format_ not in formats:
        raise unknown("format", format_, formats)
    known = {} if update else regress_reference.read(reference)
    if not (paths := find([results])):
        raise UserError(f"no results in {results}\n  natfp-bench run --task seed_id   makes some")
    current = regress_reference.read_current(paths)
    if update:
        _update(reference, current)
        return
    report = compare(known, current, name=str(reference), alpha=alpha, drop=drop, allow_missing=allow_missing)
    if format_ == "table":
        out, sheet = terminal.stdout(), regress_formats.sheet(report)
        if sheet.rows:
            terminal.print_sheet(out, sheet)
        out.print(regress_formats.summary(report), markup=False, soft_wrap=True)
    else:
        typer.echo(regress_formats.FORMATS[format_](report), nl=False)
    if not report.ok:
        raise typer.Exit(1)


def _update(reference: Path, current: Current) -> None:
    """Write the reference; one with holes would let what failed now pass for ever."""
    from natfp_bench.results import regress_reference

    if current.failed:
        lines = [f"{place}: {error}" for place, error in current.failed.items()]
        raise UserError("\n  ".join(["no reference is made of results with failures", *lines]))
    regress_reference.write(reference, current.answers.values())
    tasks = len({place.protocol_digest for place in current.answers})
    typer.echo(f"{reference}: {len(current.answers)} scores of {tasks} tasks, {reference.stat().st_size:,} bytes")
