"""The command `check-models`."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from .options import CorpusOption, Device, Include, Json, PresetOption, Set, StoreRoot, Workers, settings


def check_models(
    task: Annotated[str, typer.Argument(help="name of a task whose models are checkpoints")],
    preset: PresetOption = "quick",
    set_: Set = None,
    corpus: CorpusOption = None,
    include: Include = None,
    store: StoreRoot = None,
    workers: Workers = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Check the checkpoints of a task, before anything is sampled from them.

    Fetches each one and prints its commit, its size, digests of its weights and of its tokenizer, and its bits per byte
    on held-out documents. The exit code is 1 if one cannot be loaded, if two have the same weights, or if tokenizers
    differ.
    """
    from natfp_bench import api
    from natfp_bench.pipeline.check_models import check_models as check
    from natfp_bench.pipeline.schedule import Schedule
    from natfp_bench.pipeline.store import Store, default_root

    from . import terminal
    from .progress import Watcher

    plan = api.plan_task(task, preset, overrides=settings(set_, corpus), include=include or ())
    errors = terminal.stderr()
    opened = Store(store or default_root(), terminal.warner(errors))
    with closing(api.local_engine(workers)) as engine, Watcher(errors) as watch:
        found = check(plan, Schedule(opened, engine, device, watch))
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
    else:
        columns = ("variant", "checkpoint", "commit", "parameters", "weights", "tokenizer", "context", "bits per byte")
        rows = [
            (
                *(one.variant, one.model.removeprefix("checkpoint "), (one.commit or "")[:8], f"{one.parameters:,}"),
                *(one.weights[:12], one.tokenizer[:12], str(one.context or ""), f"{one.bits_per_byte:.4f}"),
            )
            for one in found.models
        ]
        right = ("parameters", "context", "bits per byte")
        terminal.show(terminal.stdout(), terminal.table("", columns, rows, right=right))
    for warning in found.warnings:
        terminal.say(errors, f"warning: {warning}")
    for fault in found.faults:
        terminal.error(errors, fault)
    if found.faults:
        raise typer.Exit(1)
