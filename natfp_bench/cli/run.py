"""The command `run`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from natfp_bench.base.errors import UserError

from . import options
from .options import (
    RESULTS,
    BaselineOption,
    CorpusOption,
    Details,
    Device,
    EngineOption,
    Include,
    Json,
    Limit,
    Output,
    PresetOption,
    RayAddress,
    Replicates,
    Sandbox,
    Seed,
    Set,
    StoreRoot,
    Workers,
)


def run(
    context: typer.Context,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "--tasks",
            help="task names (a,b), or all (every task whose models are trained here, large ones apart)",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "--tags", help="also all tasks with these tags (a,b); those of the Hub only with hub"),
    ] = None,
    preset: PresetOption = "quick",
    baseline: BaselineOption = "fast",
    set_: Set = None,
    corpus: CorpusOption = None,
    seed: Seed = 0,
    limit: Limit = None,
    replicates: Replicates = None,
    include: Include = None,
    device: Device = "auto",
    workers: Workers = None,
    engine: EngineOption = "local",
    ray_address: RayAddress = None,
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
    details: Details = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done, and do nothing")] = False,
    as_json: Json = False,
) -> None:
    """Run tasks: train, sample, attribute and rank.

    Models are trained, texts are sampled from them, attributors guess which model wrote a text, and are ranked. The
    result begins with its finding in one sentence; --details prints everything else.
    """
    from . import running, terminal
    from .progress import Watcher

    _takes_no_arguments(context.args)
    overrides, include = options.settings(set_, corpus), include or []
    # A line at once: importing the libraries takes seconds on a busy machine.
    watch = Watcher(terminal.stderr(), "" if dry_run else "reading tasks")
    with watch:
        from natfp_bench import api

        names, tags = options.names(task), options.names(tag)
        chosen, left_out = api.find_tasks(names, tags=tags, include=include, fixed_texts=fixed)
        if fixed:
            others: dict[str, Any] = {"--preset": preset != "quick", "--set": set_, "--corpus": corpus}
            others |= {"--seed": seed, "--limit": limit is not None, "--replicates": replicates}
            _not_beside_fixed_texts(others)
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
    if left_out:  # after the plans: what is wrong is said first
        listed = ", ".join(left_out)
        what = f"left out, because they need models of the Hub, or models or text of yours: {listed} (add --task NAME)"
        terminal.say(terminal.stderr(), what)
    how: dict[str, Any] = {"baselines": baseline, "store": store, "device": device}
    how |= {"workers": workers, "engine": engine, "ray_address": ray_address, "sandbox": sandbox}
    if dry_run:
        running.dry_run(plans, how, as_json=as_json)
        return
    tasks = options.names([parity_tasks or ""]) if parity or parity_tasks else None
    running.run_plans(plans, how, watch, output=output, parity=tasks, as_json=as_json, details=details)


def _takes_no_arguments(given: list[str]) -> None:
    """Raise UserError if there are arguments without an option."""
    if given:
        raise UserError(f"run takes no argument {given[0]!r}\n  did you mean: --task {','.join(given)}")


def _not_beside_fixed_texts(others: dict[str, Any]) -> None:
    """Raise UserError if an option is given that says how texts are made."""
    if given := [other for other, value in others.items() if value]:
        raise UserError(f"{', '.join(given)} cannot be combined with --fixed-texts\n  leave it out")
