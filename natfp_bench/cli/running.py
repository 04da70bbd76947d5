"""What `run`, `sweep`, `curve` and `texts` share: plans are run with progress, and results are printed and counted."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import options

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result
    from natfp_bench.plan.curve import CurvePlan
    from natfp_bench.plan.plan import Plan

    from .progress import Watcher


def dry_run(plans: Sequence[Plan], how: dict[str, Any], *, as_json: bool) -> None:
    """Print what plans amount to, and do nothing."""
    from natfp_bench import api

    from . import overview, terminal

    found = api.dry_run(plans, **how)
    if as_json:
        terminal.print_json([one.model_dump(mode="json") for one in found])
        return
    for plan, one in zip(plans, found, strict=True):
        tests = sum(other.least_p is not None for other in found)
        overview.print_overview(terminal.stdout(), one, factors=tests, given=plan.given is not None)


def run_sweep(plans: Sequence[Plan], how: dict[str, Any], watch: Watcher, *, output: Path, as_json: bool) -> None:
    """Run the plans of a sweep, print what each found in a line, and then the trends."""
    from natfp_bench.results.protocols import read_protocols
    from natfp_bench.results.trends import trends_of

    from . import console, terminal

    out = terminal.stdout()
    finished = _run(plans, how, watch, output=output, parity=None, show=None if as_json else _print_cell)
    if as_json:
        terminal.print_json([result.model_dump(mode="json") for result, _ in finished])
    else:
        terminal.say(out, "")
        for trend in trends_of(read_protocols([folder / "result.json" for _, folder in finished])[0]):
            console.print_trend(out, trend)
        terminal.say(out, f"natfp-bench leaderboard {output} --trends   shows this again", wrap=False)
    _fail_for(finished, watch)


def run_curve(curve: CurvePlan, how: dict[str, Any], watch: Watcher, *, output: Path, as_json: bool) -> None:
    """Run a curve, and print what it found; the exit code is 1 if a part of it failed."""
    from natfp_bench import api

    from . import console, terminal

    plan = curve.plan
    with going_on(watch), watch:
        most = f"up to {curve.texts[-1]:,} training texts of each"
        watch.begin(plan.task.name, f"preset {plan.preset}, {len(plan.variants)} models, {most}")
        warn = terminal.warner(watch.console)
        result, folder = api.run_curve(curve, **how, output=output, command=options.command(), watch=watch, warn=warn)
        watch.end()
    if as_json:
        terminal.print_json(result.model_dump(mode="json"))
    else:
        console.print_curve(terminal.stdout(), result, folder)
    for failure in result.failures:
        terminal.error(watch.console, f"{result.task.name}: {failure}")
    if result.failures:
        raise typer.Exit(1)


@contextmanager
def going_on(watch: Watcher) -> Iterator[None]:
    """If the user interrupts the work, say how it goes on."""
    from . import terminal

    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(options.command())
        said = f"interrupted; finished work is kept. To go on, run: {again}"
        terminal.say(watch.console, said, wrap=False)
        raise typer.Exit(130) from None


def _print_cell(result: Result, folder: Path) -> None:
    from natfp_bench.report.finding import finding

    from . import terminal

    values = ", ".join(f"{name}={value}" for name, value in result.overrides.items())
    terminal.say(terminal.stdout(), f"{values}: {finding(result)}", f"  written to {folder}", wrap=False)


def run_plans(
    plans: Sequence[Plan],
    how: dict[str, Any],
    watch: Watcher,
    *,
    output: Path,
    parity: Sequence[str] | None = None,
    as_json: bool,
    details: bool,
) -> None:
    """Run plans one after another and print each result; the exit code is 1 if a part of one failed."""
    from natfp_bench.results import leaderboard

    from . import console, terminal

    out = terminal.stdout()

    def show(result: Result, folder: Path) -> None:
        console.print_result(out, result, folder, details=details)

    finished = _run(plans, how, watch, output=output, parity=parity, show=None if as_json else show)
    if as_json:
        terminal.print_json([result.model_dump(mode="json") for result, _ in finished])
    elif len(finished) > 1:
        written = [folder / "result.json" for _, folder in finished]
        console.print_leaderboards(out, leaderboard.leaderboards(written))
    _fail_for(finished, watch)


def _run(
    plans: Sequence[Plan],
    how: dict[str, Any],
    watch: Watcher,
    *,
    output: Path,
    parity: Sequence[str] | None,
    show: Callable[[Result, Path], None] | None,
) -> list[tuple[Result, Path]]:
    """Run plans one after another; each result is shown when it is there."""
    from natfp_bench import api

    from . import terminal

    errors = watch.console
    finished: list[tuple[Result, Path]] = []
    runs = api.run_plans(
        plans, **how, output=output, parity=parity, command=options.command(), watch=watch, warn=terminal.warner(errors)
    )
    try:
        with going_on(watch), watch:
            for plan in plans:
                n = len(plan.variants)
                of = "labels" if plan.given else "model" if n == 1 else "models"
                watch.begin(plan.task.name, f"preset {plan.preset}, {n} {of}, {plan.texts:,} texts of each")
                result, folder = next(runs)
                watch.end()
                finished.append((result, folder))
                if show:
                    show(result, folder)
    finally:
        runs.close()
    return finished


def _fail_for(finished: Sequence[tuple[Result, Path]], watch: Watcher) -> None:
    """Name what failed in runs that went on; the exit code is then 1."""
    from . import terminal

    failures = [f"{result.task.name}: {failure}" for result, _ in finished for failure in result.failures]
    for failure in failures:
        terminal.error(watch.console, failure)
    if failures:
        raise typer.Exit(1)
