"""The commands `baseline new`, `baseline check` and `baseline submit`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natfp_bench.base.errors import UserError

from .options import RESULTS, Json, Output, StoreRoot, Workers, names, one_of

if TYPE_CHECKING:
    from natfp_bench.attributors.registry import Baseline
    from natfp_bench.pipeline.contract_suite import ContractReport
    from natfp_bench.report.table import ReportTable
    from natfp_bench.results.leaderboard import AttributorMean
    from natfp_bench.results.submission import Ranking, Submission

app = typer.Typer(help="Make, check and submit a classifier.", no_args_is_help=True)

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="folder of a baseline, or its name")]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits and _")],
    output: Annotated[Path, typer.Option("--output", "-o", help="where to make the folder")] = Path(),
) -> None:
    """Make the folder of a new baseline, which works and is yours to edit."""
    from natfp_bench.attributors.new_baseline import new_baseline

    from . import terminal

    folder = new_baseline(name, output)
    then = f"  edit its three files, then: natfp-bench baseline check {folder}"
    terminal.say(terminal.stdout(), str(folder), then, wrap=False)


@app.command("check")
def check(folder: Folder, as_json: Json = False) -> None:
    """Check that a baseline keeps the contract.

    The exit code is 1 if it does not.
    """
    from natfp_bench import api
    from natfp_bench.pipeline.contract_suite import check_all

    from . import terminal
    from .progress import Watcher

    with closing(api.local_engine(1)) as engine, Watcher(terminal.stderr(), "checking the contract") as watch:
        report = check_all(_baseline(folder), engine, watch)
    if as_json:
        terminal.print_json(report.model_dump(mode="json"))
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command("submit")
def submit(
    folder: Folder,
    task: Annotated[
        list[str] | None, typer.Option("--task", "--tasks", help="task names (a,b); default: all with fixed texts")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="write nothing, and compare the scores with this results.json")
    ] = None,
    store: StoreRoot = None,
    output: Output = RESULTS,
    workers: Workers = None,
    format_: Annotated[str, typer.Option("--format", help="text or md (Markdown)")] = "text",
    summary: Annotated[Path | None, typer.Option(help="also write what is printed to this file, as Markdown")] = None,
    sandbox: Annotated[str, typer.Option(help="on, as for all submissions, or off or auto, to practise")] = "on",
    as_json: Json = False,
) -> None:
    """Score a baseline on the fixed texts.

    It is checked first. Its scores are written to its results.json, and the rank that it would take is printed. Scores
    that no honest classifier reaches are refused.
    """
    from natfp_bench import api
    from natfp_bench.attributors import code_digest, registry
    from natfp_bench.attributors import sandbox as sandboxes
    from natfp_bench.base import disk
    from natfp_bench.pipeline.contract_suite import check_all
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import submission, suspicion

    from . import terminal
    from .progress import Watcher

    one_of("format", format_, ("text", "md"))
    baseline = _baseline(folder)
    code_digest.files_of(baseline.folder, caches=False)
    sandboxes.check_mode(sandbox)
    claimed = submission.read(compare) if compare else None
    tasks = submission.tasks_with_texts(names(task))
    kept = {} if claimed else submission.kept_scores(baseline, tasks)
    if not claimed:
        disk.usable_folder(baseline.folder, "folder")
    disk.usable_folder(output, "output folder")
    errors = terminal.stderr()
    opened = Store(store or default_root(), terminal.warner(errors))
    with closing(api.local_engine(workers)) as engine, Watcher(errors, f"checking {baseline.name}") as watch:
        report = check_all(baseline, engine, watch, sandbox)
        if not report.failed:
            found = []
            for number, one in enumerate(tasks, start=1):
                watch.begin(one, f"fixed texts, task {number} of {len(tasks)}")
                found += submission.score_on_fixed_texts(baseline, [one], opened, engine, output, watch, sandbox)
    if report.failed:
        _print_report(report)
        raise typer.Exit(1)
    made = submission.submission(baseline, [result for result, _ in found])
    ranking = submission.ranking(made, registry.bundled())
    if as_json:
        terminal.print_json({"submission": made.model_dump(mode="json"), "ranking": ranking.model_dump(mode="json")})
    else:
        _print_submission(made, ranking, markdown=format_ == "md")
    if summary is not None:
        with disk.disk_faults(summary.absolute().parent, "folder"):
            summary.write_text(_markdown(made, ranking), encoding="utf-8")
    if found_suspicious := suspicion.suspicions(baseline.name, found):
        for one in found_suspicious:
            terminal.error(errors, f"{baseline.name} is suspicious: {one}")
        terminal.error(errors, "no honest classifier reaches such a score: it has labels from elsewhere")
        raise typer.Exit(1)
    if claimed is None:
        whole = made.model_copy(update={"scores": dict(sorted({**kept, **made.scores}.items()))})
        terminal.say(errors, f"wrote {submission.write(whole, baseline.folder)}", wrap=False)
    elif differing := submission.differences(made, claimed):
        for difference in differing:
            terminal.error(errors, difference)
        raise typer.Exit(1)
    else:
        terminal.say(errors, f"{compare} has the same scores", wrap=False)


def _baseline(given: str) -> Baseline:
    """Find a baseline by its folder, or by its name if it is bundled or installed."""
    from natfp_bench.attributors import registry

    if Path(given).expanduser().exists():
        return registry.read(Path(given))
    found = registry.find(given)
    if len(found) > 1:
        raise UserError(f"{given!r} names {len(found)} baselines\n  name one of them")
    return found[0]


def _print_report(report: ContractReport) -> None:
    from natfp_bench.report.table import ReportTable

    from . import terminal

    rows = [
        (finding.check, "ok" if finding.ok else "FAILED", f"{finding.seconds:.1f}", finding.seen)
        for finding in report.findings
    ]
    rows += [(name, "not run", "", "") for name in report.unrun]
    title = f"{report.baseline}, version {report.version}: {len(report.findings)} checks, {len(report.failed)} failed"
    columns = ("check", "result", "seconds", "seen")
    terminal.print_table(terminal.stdout(), ReportTable(title, columns, rows, right=("seconds",), loose=("seen",)))
    for finding in report.failed:
        message = f"{report.baseline} fails the check {finding.check}: {finding.seen}\n  {finding.mend}"
        terminal.error(terminal.stderr(), message)


def _print_submission(made: Submission, ranking: Ranking, *, markdown: bool) -> None:
    from . import terminal

    if markdown:
        terminal.write(_markdown(made, ranking), None)
    else:
        for shown in _tables(made, ranking):
            terminal.print_table(terminal.stdout(), shown)


def _markdown(made: Submission, ranking: Ranking) -> str:
    from natfp_bench.report.markdown import section

    return "".join(section(shown) + "\n\n" for shown in _tables(made, ranking))


def _tables(made: Submission, ranking: Ranking) -> tuple[ReportTable, ...]:
    from natfp_bench.report.table import ReportTable, interval

    scores = [
        (task, side, *(interval(one) for one in (found.accuracy, found.identifiability, found.bits)))
        for task, score in made.scores.items()
        for side, found in (("unseen runs", score.unseen), ("seen runs", score.seen))
        if found
    ]
    left_out = "; ".join(f"{name} ({why})" for name, why in ranking.left_out.items())
    return (
        ReportTable(
            f"{made.name}, version {made.version}, on the fixed texts (self-reported, labels public)",
            ("task", "test texts of", "accuracy", "identifiability", "bits"),
            scores,
            right=("accuracy", "identifiability", "bits"),
        ),
        ReportTable(
            _would_rank(made.name, ranking),
            ("rank", "attributor", "unseen runs", "rank, seen", "seen runs"),
            [
                (_rank(place.unseen), place.name, _mean(place.unseen), _rank(place.seen), _mean(place.seen))
                for place in ranking.places
            ],
            right=("rank", "unseen runs", "rank, seen", "seen runs"),
            caption=(
                f"Mean identifiability over {', '.join(ranking.tasks)}, ± the 95% interval over models. Rank: 1 + the "
                "number of attributors that are significantly better, as on the leaderboard."
                + (f" Left out: {left_out}." if left_out else "")
            ),
        ),
    )


def _would_rank(name: str, ranking: Ranking) -> str:
    """Say which ranks a submission would take."""
    own = next((place for place in ranking.places if place.name == name), None)
    sides = (("unseen", own.unseen), ("seen", own.seen)) if own else ()
    ranks = [f"{found.rank} on {side} runs" for side, found in sides if found and found.rank]
    if not ranks:
        return "no rank: too few tasks, or controls alone"
    return f"{name} would take rank {' and '.join(ranks)}, of {len(ranking.places)}"


def _rank(found: AttributorMean | None) -> str:
    return str(found.rank) if found and found.rank else ""


def _mean(found: AttributorMean | None) -> str:
    from natfp_bench.report.table import spread

    return spread(found.identifiability, 3) if found else ""
