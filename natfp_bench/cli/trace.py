"""The command `trace`."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from natfp_bench.base.errors import UserError

from .options import (
    RESULTS,
    BaselineOption,
    Device,
    Json,
    Limit,
    Output,
    PresetOption,
    Seed,
    Set,
    StoreRoot,
    Workers,
    command,
    settings,
)


def trace(
    model: Annotated[
        list[str] | None, typer.Option("--model", help="a checkpoint: folder or Hub id (repeatable)")
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--texts", help="file with texts: plain, .jsonl, .csv, .tsv, .json, .parquet, or -"),
    ] = None,
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE...]", help="more files with texts")] = None,
    preset: PresetOption = "quick",
    baseline: BaselineOption = "fast",
    set_: Set = None,
    text_column: Annotated[str, typer.Option(help="column of the texts in tables")] = "text",
    seed: Seed = 0,
    limit: Limit = None,
    device: Device = "auto",
    workers: Workers = None,
    store: StoreRoot = None,
    output: Output = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done, and do nothing")] = False,
    as_json: Json = False,
) -> None:
    """Say which of your models wrote some texts, or none of them.

    Texts are sampled from each model, attributors learn from them, and the best one is asked about your texts; beside
    it stand the likelihoods of your texts under each model. A single model is asked by its likelihoods alone. What was
    sampled is kept, so that the next question about the same models takes seconds.
    """
    from natfp_bench import api
    from natfp_bench.report.trace_words import trace_conclusion, trace_table
    from natfp_bench.results import unlabelled_texts

    from . import running, terminal
    from .progress import Watcher

    plan = api.plan_trace(model or [], preset, overrides=settings(set_), seed=seed, limit=limit)
    if not (named := [*(texts or []), *(files or [])]):
        raise UserError("no text is given\n  --texts FILE names a file; several, or - for standard input, are allowed")
    given = unlabelled_texts.read_all(named, text_column)
    how: dict[str, Any] = {"baselines": baseline, "store": store, "device": device, "workers": workers}
    if dry_run:
        running.dry_run([plan], how, as_json=as_json)
        return
    errors = terminal.stderr()
    with running.going_on(watch := Watcher(errors)), watch:
        found = api.trace(
            plan, given, **how, output=output, command=command(), watch=watch, warn=terminal.warner(errors)
        )
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
        return
    out = terminal.stdout()
    terminal.print_table(out, trace_table(found))
    for note in found.notes:
        terminal.say(out, f"note: {note}")
    if found.result:
        again = f"natfp-bench show {shlex.quote(found.result)}"
        terminal.say(out, f"how well texts of these models can be distinguished: {again}", wrap=False)
    terminal.say(out, *trace_conclusion(found), wrap=False)
