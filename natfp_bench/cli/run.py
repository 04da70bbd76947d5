"""The command `run`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natfp_bench.base.errors import UserError

from . import options
from .options import (
    RESULTS,
    CorpusOption,
    Include,
    Json,
    Limit,
    Output,
    PresetOption,
    Replicates,
    Sandbox,
    Seed,
    Set,
    StoreRoot,
    Workers,
)

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result


def run(
    context: typer.Context,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "--tasks", help="task names (a,b), or all (every task whose models are trained here)"),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "--tags", help="also all tasks with these tags (a,b); those of the Hub only with hub"),
    ] = None,
    preset: PresetOption = "quick",
    baseline: Annotated[
        str, typer.Option(help="names and folders of baselines (a,b), fast (all fast ones) or all")
    ] = "fast",
    set_: Set = None,
    corpus: CorpusOption = None,
    seed: Seed = 0,
    limit: Limit = None,
    replicates: Replicates = None,
    include: Include = None,
    device: Annotated[str, typer.Option(help="what models run on: auto, cpu or cuda")] = "auto",
    workers: Workers = None,
    engine: Annotated[str, typer.Option(help="where jobs run: local or ray")] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(help="address of a running Ray cluster, or auto (default: Ray is started on this machine)"),
    ] = None,
    sandbox: Sandbox = "auto",
    store: StoreRoot = None,
    output: Output = RESULTS,
    fixed: Annotated[bool, typer.Option("--fixed-texts", help="train nothing: use the texts of the package")] = False,
    parity: Annotated[
        bool, typer.Option("--parity", help="also score the models on held-out text, by lm-eval")
    ] = False,
    parity_tasks: Annotated[
        str | None, typer.Option(help="also score the models on these tasks of lm-eval (a,b)")
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help="train nothing: use your own texts (file, folder or LABEL=PATH; repeatable)"),
    ] = None,
    text_column: Annotated[str, typer.Option(help="with --texts: column of the text")] = "text",
    label_column: Annotated[str, typer.Option(help="with --texts: column of the label that is guessed")] = "label",
    group_column: Annotated[
        str | None, typer.Option(help="with --texts: column whose groups are never split between train and test")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done, and do nothing")] = False,
    as_json: Json = False,
) -> None:
    """Run tasks: train, sample, attribute and rank.

    Models are trained, texts are sampled from them, attributors guess which model wrote a text, and are ranked.
    """
    from natfp_bench import api

    from . import overview, terminal

    _takes_no_arguments(context.args)
    out, errors = terminal.stdout(), terminal.stderr()
    overrides, include = options.settings(set_, corpus), include or []
    others: dict[str, Any]
    if texts:
        others = {"--task": task, "--tag": tag, "--corpus": corpus, "--fixed-texts": fixed, "--include-path": include}
        others["--replicates"] = replicates
        _cannot_be_combined("--texts", others)
        plan = api.plan_texts(
            texts,
            preset,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            overrides=overrides,
            seed=seed,
            limit=limit,
        )
        plans = [plan]
    else:
        chosen, left_out = api.find_tasks(
            options.names(task), tags=options.names(tag), include=include, fixed_texts=fixed
        )
        if left_out:
            listed = ", ".join(left_out)
            what = f"left out, because they use models of the Hub: {listed} (add --task NAME, or --tag hub)"
            terminal.say(errors, what)
        if fixed:
            others = {"--preset": preset != "quick", "--set": set_, "--corpus": corpus}
            others |= {"--seed": seed, "--limit": limit is not None, "--replicates": replicates}
            _cannot_be_combined("--fixed-texts", others)
            plans = [api.plan_fixed_texts(name, include=include) for name in chosen]
        else:
            plans = [
                api.plan_task(
                    name,
                    preset,
                    overrides=overrides,
                    seed=seed,
                    limit=limit,
                    replicates=replicates,
                    include=include,
                )
                for name in chosen
            ]
    how: dict[str, Any] = {"baselines": baseline, "store": store, "device": device}
    how |= {"workers": workers, "engine": engine, "ray_address": ray_address, "sandbox": sandbox}
    if dry_run:
        found = api.dry_run(plans, **how)
        if as_json:
            terminal.print_json([one.model_dump(mode="json") for one in found])
        else:
            for one in found:
                overview.print_overview(out, one, factors=sum(other.least_p is not None for other in found))
        return

    from natfp_bench.results import leaderboard, protocols

    from . import console
    from .progress import Watcher

    finished: list[tuple[Result, Path]] = []
    watch = Watcher(errors)
    runs = api.run_plans(
        plans,
        **how,
        output=output,
        parity=options.names([parity_tasks or ""]) if parity or parity_tasks else None,
        command=options.command(),
        watch=watch,
        warn=terminal.warner(errors),
    )
    try:
        with watch:
            for plan in plans:
                what = f"{len(plan.variants)} variants, {plan.texts} texts each"
                terminal.say(errors, f"{plan.task.name} ({plan.preset}): {what}")
                result, folder = next(runs)
                finished.append((result, folder))
                if not as_json:
                    ranked, _ = protocols.boards([folder / "result.json"])
                    console.print_result(out, result, ranked, folder)
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


def _takes_no_arguments(given: list[str]) -> None:
    """Raise UserError if there are arguments without an option."""
    if given:
        raise UserError(f"run takes no argument {given[0]!r}\n  did you mean: --task {','.join(given)}")


def _cannot_be_combined(option: str, others: dict[str, Any]) -> None:
    """Raise UserError if any of the other options is given."""
    if given := [other for other, value in others.items() if value]:
        raise UserError(f"{', '.join(given)} cannot be combined with {option}\n  leave it out")
