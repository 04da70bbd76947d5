"""The command `regress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

from .options import RESULTS, one_of

if TYPE_CHECKING:
    from natfp_bench.results.regression_reference import Current


def regress(
    reference: Annotated[Path, typer.Option(help="the reference, a Parquet file")],
    results: Annotated[Path, typer.Option(help="a result.json, or a folder that contains some")] = RESULTS,
    alpha: Annotated[
        float, typer.Option(min=0, max=1, help="a drop counts if its p-value, after Holm's correction, is below this")
    ] = 0.01,
    drop: Annotated[
        float, typer.Option(min=0, max=1, help="a drop counts if it is larger than this loss of accuracy")
    ] = 0.02,
    format_: Annotated[str, typer.Option("--format", help="table, md, json, junit or github")] = "table",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="accept results that lack scores of the reference")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="write the reference from the results")] = False,
) -> None:
    """Compare results with a reference on the same texts.

    The exit code is 1 if a score has got worse.
    """
    from natfp_bench.pipeline.result_files import find
    from natfp_bench.report import regression_formats
    from natfp_bench.results import regression_reference
    from natfp_bench.results.regression import compare

    from . import terminal

    one_of("format", format_, ("table", *regression_formats.FORMATS))
    if update:
        regression_reference.refuse_to_overwrite(reference)
    known = {} if update else regression_reference.read(reference)
    if not (paths := find([results])):
        raise UserError(f"no results in {results}\n  natfp-bench run --task seed_id   makes some")
    current = regression_reference.read_current(paths)
    if update:
        _update(reference, current)
        return
    report = compare(known, current, name=str(reference), alpha=alpha, drop=drop, allow_missing=allow_missing)
    if format_ == "table":
        out, made = terminal.stdout(), regression_formats.table_of(report)
        if made.rows:
            terminal.print_table(out, made)
        terminal.say(out, *regression_formats.summary(report).splitlines(), wrap=False)
    else:
        terminal.write(regression_formats.FORMATS[format_](report), None)
    if not report.ok:
        raise typer.Exit(1)


def _update(reference: Path, current: Current) -> None:
    """Write the reference. Failed scores are refused: without them in the reference, a failure would pass for ever."""
    from natfp_bench.results import regression_reference

    from . import terminal

    if current.failed:
        lines = [f"{place}: {error}" for place, error in current.failed.items()]
        raise UserError("\n  ".join(["a reference cannot be made from results with failures", *lines]))
    regression_reference.write(reference, current.answers.values())
    tasks = len({place.protocol_digest for place in current.answers})
    size = f"{reference.stat().st_size:,} bytes"
    terminal.say(terminal.stdout(), f"{reference}: {len(current.answers)} scores of {tasks} tasks, {size}", wrap=False)
