"""The commands that run nothing: `list`, `show`, `validate` and `schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError, unknown

from .options import (
    CorpusOption,
    Details,
    Include,
    Json,
    Limit,
    PresetOption,
    Replicates,
    Seed,
    Set,
    StoreRoot,
    settings,
)

LISTS = ("tasks", "baselines", "presets", "corpora")


def list_(
    what: Annotated[str, typer.Argument(help="tasks, baselines, presets or corpora")] = "tasks",
    include: Include = None,
    as_json: Json = False,
) -> None:
    """List tasks, baselines, presets or corpora."""
    from . import terminal

    rows = _rows(what, include or [])
    if as_json:
        terminal.print_json(rows)
    elif rows:
        terminal.show(terminal.stdout(), terminal.table("", list(rows[0]), [list(row.values()) for row in rows]))
    if what == "corpora" and not as_json:
        from natfp_bench.corpus.catalogue import CATALOGUE

        out = terminal.stdout()
        terminal.say(out, "", "A corpus of the Hub is fetched when a run first needs it. To fetch it beforehand:")
        for entry in CATALOGUE.values():
            terminal.say(out, f"  {entry.fetch}", wrap=False)


def _rows(what: str, include: list[Path]) -> list[dict[str, str]]:
    """The entries of a list, each as column -> cell."""
    from natfp_bench.plan import task_files

    match what:
        case "tasks":
            tasks = [task_files.load_task(path)[0] for path in task_files.task_files(include).values()]
            return [{"task": task.name, "tags": ", ".join(task.tags), "summary": task.summary} for task in tasks]
        case "presets":
            from natfp_bench.base import yaml_records

            files = task_files.preset_files(include)
            presets = {name: yaml_records.read(path, task_files.Preset) for name, path in files.items()}
            return [{"preset": name, "summary": preset.summary} for name, preset in presets.items()]
        case "baselines":
            from natfp_bench.attributors import registry

            cards = [found.card for found in [*registry.bundled(), *registry.installed()]]
            return [
                {
                    "baseline": card.name,
                    "version": card.version,
                    "cost": card.cost,
                    "knowledge": card.knowledge,
                    "summary": card.summary,
                }
                for card in cards
            ]
        case "corpora":
            from natfp_bench.corpus.catalogue import CATALOGUE
            from natfp_bench.corpus.open_corpus import KINDS

            rows = [{"corpus": name, "size": "", "licence": "", "summary": summary} for name, summary in KINDS.items()]
            for entry in CATALOGUE.values():
                size = f"{entry.bytes / 1e6:,.0f} MB" if entry.bytes else "unknown"
                rows.append({"corpus": entry.name, "size": size, "licence": entry.licence, "summary": entry.summary})
            return rows
    raise unknown("list", what, LISTS)


def show(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK|RESULT", help="name of a task, or a finished run's (or curve's) folder or file"),
    ],
    preset: PresetOption = "quick",
    set_: Set = None,
    corpus: CorpusOption = None,
    seed: Seed = 0,
    limit: Limit = None,
    replicates: Replicates = None,
    include: Include = None,
    store: StoreRoot = None,
    details: Details = False,
    as_json: Json = False,
) -> None:
    """Show what a run of a task would do, or what a finished run found.

    For a task: its variants, their sizes, and what the store already has. For a result (a result.json, or the folder of
    a run): what `run` printed; --details prints everything else.
    """
    from natfp_bench.plan.task_files import task_files

    from . import overview, terminal

    if task not in task_files(include or []) and (Path(task).exists() or "/" in task or task.endswith(".json")):
        _show_result(Path(task), details=details, as_json=as_json)
        return

    from natfp_bench import api

    overrides = settings(set_, corpus)
    plan = api.plan_task(
        task, preset, overrides=overrides, seed=seed, limit=limit, replicates=replicates, include=include or ()
    )
    found = api.overview(plan, store=store)
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
    else:
        overview.print_overview(terminal.stdout(), found)


def _show_result(given: Path, *, details: bool, as_json: bool) -> None:
    """Print a finished run again, or a curve."""
    from natfp_bench.pipeline import curve_result
    from natfp_bench.pipeline import result_files as results
    from natfp_bench.results.origin import find_result, the_only

    from . import console, terminal

    curves = curve_result.find([given]) if given.is_dir() else [given] if curve_result.is_curve(given) else []
    if curves and not (given.is_dir() and results.find([given])):
        place = the_only(curves, given, "curves", "")
        curve = curve_result.read(place)
        if as_json:
            terminal.print_json(curve.model_dump(mode="json"))
        else:
            console.print_curve(terminal.stdout(), curve, place.parent)
        return
    path = find_result(given)
    found = results.read(path)
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
    else:
        console.print_result(terminal.stdout(), found, path.parent, details=details)


def validate(paths: Annotated[list[Path], typer.Argument(help="task, preset, card and result files")]) -> None:
    """Check files, and name every fault with its file and line."""
    from natfp_bench.results.validate_files import validate as check

    from . import terminal

    if missing := [path for path in paths if not path.exists()]:
        raise UserError(f"no file {str(missing[0])!r}\n  validate takes task, preset, card and result files")
    failed, out = False, terminal.stdout()
    for path in paths:
        try:
            terminal.say(out, f"{path}: ok ({check(path)})", wrap=False)
        except UserError as error:
            failed = True
            terminal.error(terminal.stderr(), str(error))
    if failed:
        raise typer.Exit(1)


def schema(
    which: Annotated[
        str, typer.Argument(help="task, preset, card, result, curve, identification, descent or trace")
    ] = "result",
) -> None:
    """Print the JSON Schema of a kind of file.

    `identification` is what `natfp-bench identify --json` prints, `descent` what it prints with --descent, and `trace`
    what `natfp-bench trace --json` prints.
    """
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline import curve_result, result
    from natfp_bench.plan import task_files
    from natfp_bench.results import identification, trace

    from . import terminal

    schemas = {**task_files.schemas(), "card": registry.Card.model_json_schema(), "result": result.schema()}
    schemas["curve"] = curve_result.schema()
    schemas["identification"] = identification.Identification.model_json_schema()
    schemas["trace"] = trace.Trace.model_json_schema()
    schemas["descent"] = identification.Descent.model_json_schema()
    if which not in schemas:
        raise unknown("schema", which, schemas)
    terminal.print_json(schemas[which])
