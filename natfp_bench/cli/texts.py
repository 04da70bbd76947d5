"""The command `texts`."""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .options import (
    RESULTS,
    BaselineOption,
    Details,
    Json,
    Output,
    PresetOption,
    Sandbox,
    Seed,
    Set,
    StoreRoot,
    Workers,
)

GroupColumn = Annotated[
    str | None, typer.Option(help="column whose groups (prompts, authors) are never split between train and test")
]


def texts(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="files, folders or LABEL=PATH")],
    text_column: Annotated[str, typer.Option(help="column of the text")] = "text",
    label_column: Annotated[str, typer.Option(help="column of the label that is guessed")] = "label",
    group_column: GroupColumn = None,
    baseline: BaselineOption = "fast",
    preset: PresetOption = "quick",
    set_: Set = None,
    seed: Seed = 0,
    limit: Annotated[int | None, typer.Option(help="use at most this many texts of each label")] = None,
    workers: Workers = None,
    sandbox: Sandbox = "auto",
    store: StoreRoot = None,
    output: Output = RESULTS,
    details: Details = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done, and do nothing")] = False,
    as_json: Json = False,
) -> None:
    """Attribute texts that you have to their labels.

    Classifiers learn from a part of the texts which label each has, and guess the labels of the rest. A plain text file
    has one label, and blank lines separate its texts; in a folder of folders, each folder is a label and each file one
    text; tables (.jsonl, .csv, .parquet, ...) have a column of labels.
    """
    from . import running, terminal
    from .progress import Watcher

    watch = Watcher(terminal.stderr(), "" if dry_run else "reading the texts")
    with watch:
        from natfp_bench import api

        plan = api.plan_texts(
            paths,
            preset,
            text_column=text_column,
            label_column=label_column,
            group_column=group_column,
            overrides=options.settings(set_),
            seed=seed,
            limit=limit,
        )
    how = {"baselines": baseline, "store": store, "workers": workers, "sandbox": sandbox}
    if dry_run:
        running.dry_run([plan], how, as_json=as_json)
    else:
        running.run_plans([plan], how, watch, output=output, as_json=as_json, details=details)
