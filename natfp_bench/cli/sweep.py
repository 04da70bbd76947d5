"""The command `sweep`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from natfp_bench.base.errors import UserError

from . import options
from .options import (
    RESULTS,
    BaselineOption,
    CorpusOption,
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


def sweep(
    task: Annotated[str, typer.Option("--task", help="name of the task")],
    over: Annotated[
        list[str],
        typer.Option(
            "--over",
            metavar="KEY=A,B,...",
            help="a setting and its values (repeatable); x0.5 is half of the preset's; A+B=... changes both together",
        ),
    ],
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show models, tokens, hours and disk, and do nothing")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one task at every combination of some settings' values, and show the trends.

    Each combination is an ordinary run with an ordinary result. Runs share the store, and trainings go on from each
    other where the learning rate allows it. If a sweep is interrupted, the same command goes on where it stopped.
    """
    from . import overview, running, terminal
    from .progress import Watcher

    axes, include = _axes(over), include or []
    overrides = options.settings(set_, corpus)
    watch = Watcher(terminal.stderr(), "" if dry_run else "planning the sweep")
    with watch:
        from natfp_bench import api

        asked: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates, "include": include}
        plans = api.plan_sweep(task, axes, preset, overrides=overrides, **asked)
    how: dict[str, Any] = {"baselines": baseline, "store": store, "device": device}
    how |= {"workers": workers, "engine": engine, "ray_address": ray_address, "sandbox": sandbox}
    if dry_run:
        found = api.dry_run_sweep(plans, **how)
        if as_json:
            terminal.print_json(found.model_dump(mode="json"))
        else:
            overview.print_sweep(terminal.stdout(), found)
        return
    running.run_sweep(plans, how, watch, output=output, as_json=as_json)


def _axes(given: list[str]) -> dict[str, list[str]]:
    """Split each `--over KEY=A,B`; raises UserError if one has another form, or a setting comes twice."""
    found: dict[str, list[str]] = {}
    for one in given:
        name, equals, values = one.partition("=")
        listed = [value.strip() for value in values.split(",")]
        if not equals or not name.strip() or not all(listed):
            raise UserError(f"--over {one}: not of the form KEY=A,B\n  for example --over budget.tokens=x0.5,x1,x2")
        if name.strip() in found:
            raise UserError(f"--over {name.strip()} is given twice\n  list all its values in one: {name.strip()}=A,B,C")
        found[name.strip()] = listed
    return found
