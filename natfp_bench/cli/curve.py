"""The command `curve`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import options
from .options import (
    RESULTS,
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


def curve(
    task: Annotated[str, typer.Option("--task", help="name of the task")],
    texts: Annotated[
        str,
        typer.Option("--texts", metavar="N,M,...", help="numbers of training texts per model, in increasing order"),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--attributors",
            "--baseline",
            help="names and folders of baselines (a,b), fast or all (default: the reference attributor of the preset)",
        ),
    ] = None,
    preset: PresetOption = "quick",
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show texts, fits and disk, and do nothing")] = False,
    as_json: Json = False,
) -> None:
    """Show how many training texts an attributor needs.

    Attributors learn from more and more texts of the same models, as many as you ask for, and are always tested on the
    test texts of the ordinary run. A curve says with how many texts they have half of the ceiling's bits, and its last
    point tests whether it can be extrapolated. If it is interrupted, the same command goes on where it stopped.
    """
    from . import overview, running, terminal
    from .progress import Watcher

    overrides, include = options.settings(set_, corpus), include or []
    watch = Watcher(terminal.stderr(), "" if dry_run else "planning the curve")
    with watch:
        from natfp_bench import api

        asked: dict[str, Any] = {"seed": seed, "limit": limit, "replicates": replicates, "include": include}
        planned = api.plan_curve(task, options.names([texts]), preset, overrides=overrides, **asked)
    how: dict[str, Any] = {"baselines": baseline, "store": store, "device": device}
    how |= {"workers": workers, "engine": engine, "ray_address": ray_address, "sandbox": sandbox}
    if dry_run:
        found = api.dry_run_curve(planned, **how)
        if as_json:
            terminal.print_json(found.model_dump(mode="json"))
        else:
            overview.print_curve(terminal.stdout(), found)
        return
    running.run_curve(planned, how, watch, output=output, as_json=as_json)
