"""What `run` and `texts` share: plans are run with progress, and each result is printed and counted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from . import options

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result
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
    from natfp_bench import api
    from natfp_bench.results import leaderboard

    from . import console, terminal

    out, errors = terminal.stdout(), watch.console
    finished: list[tuple[Result, Path]] = []
    runs = api.run_plans(
        plans, **how, output=output, parity=parity, command=options.command(), watch=watch, warn=terminal.warner(errors)
    )
    try:
        with watch:
            for plan in plans:
                n = len(plan.variants)
                of = "labels" if plan.given else "model" if n == 1 else "models"
                watch.begin(plan.task.name, f"preset {plan.preset}, {n} {of}, {plan.texts:,} texts of each")
                result, folder = next(runs)
                watch.end()
                finished.append((result, folder))
                if not as_json:
                    console.print_result(out, result, folder, details=details)
    except KeyboardInterrupt:
        again = shlex.join(options.command())
        terminal.say(errors, f"interrupted; finished work is kept. To go on, run: {again}", wrap=False)
        raise typer.Exit(130) from None
    finally:
        runs.close()
    if as_json:
        terminal.print_json([result.model_dump(mode="json") for result, _ in finished])
    elif len(finished) > 1:
        written = [folder / "result.json" for _, folder in finished]
        console.print_leaderboards(out, leaderboard.leaderboards(written))
    failures = [f"{result.task.name}: {failure}" for result, _ in finished for failure in result.failures]
    for failure in failures:
        terminal.error(errors, failure)
    if failures:
        raise typer.Exit(1)
