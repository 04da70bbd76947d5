"""The commands `baseline new`, `check` and `submit`: thin, as all of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natfp_bench.base.errors import UserError, unknown

if TYPE_CHECKING:
    from natfp_bench.attributors.registry import Baseline
    from natfp_bench.pipeline.contract_suite import Report
    from natfp_bench.results.submission import Ranking, Submission

app = typer.Typer(help="Write, check and submit classifiers.", no_args_is_help=True)

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="folder of a baseline, or the name of one")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits and _")],
    output: Annotated[Path, typer.Option("--output", "-o", help="where the folder goes")] = Path(),
) -> None:
    """Write a working baseline to begin with."""
    from natfp_bench.results.submission import new as write

    folder = write(name, output)
    typer.echo(f"{folder}\n  edit its three files, then: natfp-bench baseline check {folder}")


@app.command("check")
def check(folder: Folder, as_json: Json = False) -> None:
    """Check that a baseline keeps the contract; exit code 1 where it does not."""
    from natfp_bench import api
    from natfp_bench.pipeline.contract_suite import check_all

    from . import terminal
    from .progress import Watcher

    baseline = _baseline(folder)
    engine = api.local_engine(1)
    try:
        with Watcher(terminal.stderr()) as watch:
            report = check_all(baseline, engine, watch)
    finally:
        engine.close()
    if as_json:
        _print_json(report.model_dump(mode="json"))
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command("submit")
def submit(
    folder: Folder,
    task: Annotated[list[str] | None, typer.Option("--task", "--tasks", help="task names (a,b); default: all")] = None,
    compare: Annotated[Path | None, typer.Option(help="write nothing, compare with this results.json")] = None,
    store: Annotated[Path | None, typer.Option("--store", help="default: as of run")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for results")] = Path("results"),
    workers: Annotated[int | None, typer.Option(help="worker processes (default: one a core)")] = None,
    format_: Annotated[str, typer.Option("--format", help="text or md")] = "text",
    as_json: Json = False,
) -> None:
    """Check a baseline, score it on the fixed texts, write its results.json, and tell the rank that it would take."""
    from natfp_bench import api
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline.contract_suite import check_all
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import submission

    from . import terminal
    from .progress import Watcher

    if format_ not in ("text", "md"):
        raise unknown("format", format_, ["text", "md"])
    baseline = _baseline(folder)
    claimed = submission.read(compare) if compare else None
    if task or claimed is None:
        tasks = submission.tasks_with_texts([name for part in task or () for name in part.split(",") if name])
    else:
        tasks = submission.tasks_with_texts(list(claimed.scores))
    errors = terminal.stderr()
    opened = Store(store or default_root(), lambda text: errors.print(f"warning: {text}", markup=False))
    engine = api.local_engine(workers)
    try:
        with Watcher(errors) as watch:
            report = check_all(baseline, engine, watch)
            if not report.failed:
                found = submission.score_on_fixed_texts(baseline, tasks, opened, engine, output, watch)
    finally:
        engine.close()
    if report.failed:
        _print_report(report)
        raise typer.Exit(1)
    made = submission.submission(baseline, found)
    ranking = submission.ranking(made, registry.bundled())
    if as_json:
        _print_json({"submission": made.model_dump(mode="json"), "ranking": ranking.model_dump(mode="json")})
    else:
        _print_submission(made, ranking, markdown=format_ == "md")
    if claimed is None:
        errors.print(f"wrote {submission.write(made, baseline.folder)}", markup=False)
    elif differing := submission.differences(made, claimed):
        for difference in differing:
            terminal.error(errors, difference)
        raise typer.Exit(1)
    else:
        errors.print(f"{compare} says the same", markup=False)


def _baseline(given: str) -> Baseline:
    """Find the baseline of a folder, or the bundled or installed one of a name."""
    from natfp_bench.attributors import registry

    if Path(given).expanduser().exists():
        return registry.read(Path(given))
    found = registry.find(given)
    if len(found) > 1:
        raise UserError(f"{given!r} names {len(found)} baselines, and this takes one")
    return found[0]


def _print_report(report: Report) -> None:
    from natfp_bench.report.cells import Sheet, printable

    from . import terminal

    rows = [
        (finding.check, "ok" if finding.ok else "FAILED", f"{finding.seconds:.1f}", finding.seen)
        for finding in report.findings
    ]
    rows += [(name, "not made", "", "") for name in report.unrun]
    title = f"{report.baseline}, version {report.version}: {len(report.findings)} checks, {len(report.failed)} failed"
    columns = ("check", "", "seconds", "seen")
    terminal.print_sheet(terminal.stdout(), Sheet(title, columns, rows, right=("seconds",), loose=("seen",)))
    for finding in report.failed:
        message = f"{report.baseline} fails the check {finding.check}: {finding.seen}\n  {finding.mend}"
        terminal.error(terminal.stderr(), printable(message))


def _print_submission(made: Submission, ranking: Ranking, *, markdown: bool) -> None:
    from natfp_bench.report.cells import Sheet
    from natfp_bench.report.markdown import escape, grid
    from natfp_bench.report.sheets import interval, number

    from . import terminal

    scores = [
        (task, score.split, interval(score.accuracy), interval(score.identifiability), interval(score.bits))
        for task, score in made.scores.items()
    ]
    own = next((place for place in ranking.places if place.name == made.name), None)
    would = f"{made.name} would take rank {own.rank} of {len(ranking.places)}" if own else "controls alone give no rank"
    left_out = "; ".join(f"{name} ({why})" for name, why in ranking.left_out.items())
    sheets = (
        Sheet(
            f"{made.name}, version {made.version}, on the fixed texts",
            ("task", "split", "accuracy", "identifiability", "bits"),
            scores,
            right=("accuracy", "identifiability", "bits"),
        ),
        Sheet(
            would,
            ("rank", "attributor", "mean identifiability"),
            [(str(place.rank), place.name, number(place.identifiability)) for place in ranking.places],
            right=("rank", "mean identifiability"),
            caption=f"Mean over {', '.join(ranking.tasks)}." + (f" Left out: {left_out}." if left_out else ""),
        ),
    )
    for sheet in sheets:
        if markdown:
            rows = [[escape(cell) for cell in row] for row in sheet.rows]
            parts = (f"### {escape(sheet.title)}", grid(sheet.columns, rows, sheet.right), escape(sheet.caption))
            typer.echo("\n\n".join(parts) + "\n")
        else:
            terminal.print_sheet(terminal.stdout(), sheet)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
