"""The command line: thin, and quick to start. Each command loads what it needs when it is called."""

from __future__ import annotations

import errno
import gc
import json
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natfp_bench import __version__
from natfp_bench.base.errors import JobError, NatfpError, UserError, unknown

from . import baseline as baseline_cli
from . import export as export_cli
from . import store as store_cli
from .identify import identify
from .regress import regress
from .report import report

if TYPE_CHECKING:
    from natfp_bench.pipeline.result import Result
    from natfp_bench.plan.plan import Plan

app = typer.Typer(
    name="natfp-bench",
    help="The benchmark of natural fingerprints: how identifiable does each training factor make a language model?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(store_cli.app, name="store")
app.add_typer(baseline_cli.app, name="baseline")

Json = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]
Preset = Annotated[str, typer.Option("--preset", "-p", help="size of the experiment")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a setting (repeatable)")]
Corpus = Annotated[str | None, typer.Option(help="chronicle, text:PATH[,PATH...] or hf:NAME[/CONFIG]")]
Seed = Annotated[int, typer.Option(help="seed of the whole experiment")]
Limit = Annotated[int | None, typer.Option(help="at most so many texts per variant, a prefix")]
Include = Annotated[list[Path] | None, typer.Option("--include-path", help="folder with further task files")]
StoreRoot = Annotated[Path | None, typer.Option("--store", help="default: $NATFP_STORE, else in the user's cache")]
Results = Annotated[list[Path] | None, typer.Argument(help="result.json files, or folders of them")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"natfp-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    # Acts by its callback; --debug is read where errors are printed.
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="tasks, baselines, presets or corpora")] = "tasks",
    include: Include = None,
    as_json: Json = False,
) -> None:
    """List what there is."""
    from natfp_bench.plan import task_files as spec

    from . import terminal

    rows: list[dict[str, Any]]
    match what:
        case "tasks":
            tasks = [spec.load_task(path)[0] for path in spec.task_files(include or ()).values()]
            rows = [{"task": t.name, "tags": ", ".join(t.tags), "summary": t.summary} for t in tasks]
        case "presets":
            from natfp_bench.base import yaml_source

            files = spec.preset_files(include or ())
            presets = {name: yaml_source.read(path, spec.Preset) for name, path in files.items()}
            rows = [{"preset": name, "summary": preset.summary} for name, preset in presets.items()]
        case "baselines":
            from natfp_bench.attributors import registry

            cards = [found.card for found in [*registry.bundled(), *registry.installed()]]
            rows = [{"baseline": c.name, "version": c.version, "cost": c.cost, "summary": c.summary} for c in cards]
        case "corpora":
            from natfp_bench.corpus import documents as corpus

            rows = [{"corpus": name, "summary": summary} for name, summary in corpus.KINDS.items()]
        case _:
            raise unknown("list", what, ["tasks", "baselines", "presets", "corpora"])
    if as_json:
        _print_json(rows)
    elif rows:
        cells = [[str(cell) for cell in row.values()] for row in rows]
        terminal.stdout().print(terminal.table("", list(rows[0]), cells))


@app.command()
def show(
    task: Annotated[str, typer.Argument(help="name of a task")],
    preset: Preset = "quick",
    set_: Set = None,
    corpus: Corpus = None,
    seed: Seed = 0,
    limit: Limit = None,
    include: Include = None,
    store: StoreRoot = None,
    as_json: Json = False,
) -> None:
    """Show what a run would do: variants, sizes, what the store holds."""
    from natfp_bench.pipeline.overview import overview
    from natfp_bench.pipeline.store import default_root

    from . import console, terminal

    plan = _plan(task, preset, set_, corpus, seed, limit, include)
    found = overview(plan, store or default_root())
    if as_json:
        _print_json(found.model_dump(mode="json"))
    else:
        console.print_overview(terminal.stdout(), found)


@app.command()
def run(
    task: Annotated[
        list[str] | None, typer.Option("--task", "--tasks", help="task names (a,b), or all that are trained here")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="all tasks with this tag (of the Hub only by --tag hub)")] = None,
    preset: Preset = "quick",
    baseline: Annotated[str, typer.Option(help="names, folders (a,b), fast or all")] = "fast",
    set_: Set = None,
    corpus: Corpus = None,
    seed: Seed = 0,
    limit: Limit = None,
    include: Include = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    workers: Annotated[int | None, typer.Option(help="worker processes (default: one a core)")] = None,
    engine: Annotated[str, typer.Option(help="where jobs run: local, or ray")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="of a Ray cluster, or auto (default: Ray is started here)")
    ] = None,
    store: StoreRoot = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for results")] = Path("results"),
    fixed: Annotated[bool, typer.Option("--fixed-texts", help="train nothing, take the bundled texts")] = False,
    parity: Annotated[bool, typer.Option("--parity", help="score the models by lm-eval, on held-out text")] = False,
    parity_tasks: Annotated[str | None, typer.Option(help="and on these tasks of lm-eval's (a,b)")] = None,
    texts: Annotated[
        list[str] | None, typer.Option("--texts", help="texts that exist: files, folders, LABEL=PATH")
    ] = None,
    text_column: Annotated[str, typer.Option(help="of --texts: the text")] = "text",
    label_column: Annotated[str, typer.Option(help="of --texts: what is told apart")] = "label",
    group_column: Annotated[str | None, typer.Option(help="of --texts: what must stand on one side")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be done")] = False,
    as_json: Json = False,
) -> None:
    """Run tasks: train, sample, attribute, and rank."""
    from natfp_bench import api
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline.overview import overview
    from natfp_bench.pipeline.run import run_plan
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import leaderboard
    from natfp_bench.results import protocols as boards

    from . import console, terminal
    from .progress import Watcher

    if device not in ("auto", "cpu", "cuda"):
        raise unknown("device", device, ["auto", "cpu", "cuda"])
    if texts:
        given = {"--task": task, "--tag": tag, "--corpus": corpus, "--fixed-texts": fixed, "--include-path": include}
        columns = (text_column, label_column, group_column)
        plans = [_texts_plan(tuple(texts), columns, given, preset, set_, seed, limit)]
    elif fixed:
        names = _task_names(task or [], tag, include)
        shaping = {"--preset": preset != "quick", "--set": set_, "--corpus": corpus, "--seed": seed, "--limit": limit}
        plans = [_fixed_plan(name, shaping, include) for name in names]
    else:
        names = _task_names(task or [], tag, include)
        plans = [_plan(name, preset, set_, corpus, seed, limit, include) for name in names]
    named = [name.strip() for name in (parity_tasks or "").split(",") if name.strip()]
    baselines = registry.find(baseline)
    where = api.open_engine(engine, workers, ray_address)
    if dry_run:
        found = [overview(plan, store or default_root()) for plan in plans]
        if as_json:
            _print_json([one.model_dump(mode="json") for one in found])
        else:
            for one in found:
                console.print_overview(terminal.stdout(), one)
        return
    errors = terminal.stderr()
    opened = Store(store or default_root(), lambda text: errors.print(f"warning: {text}", markup=False))
    results: list[Result] = []
    written: list[Path] = []
    try:
        with Watcher(errors) as watch:
            for plan in plans:
                errors.print(
                    f"{plan.task.name} ({plan.preset}): {len(plan.variants)} variants, {plan.texts} texts each"
                )
                result, folder = run_plan(
                    plan,
                    baselines,
                    store=opened,
                    engine=where,
                    output=output,
                    device=device,
                    command=_command(),
                    parity=named if parity or named else None,
                    watch=watch,
                )
                results.append(result)
                written.append(folder / "result.json")
                if not as_json:
                    ranked, _ = boards.boards([folder / "result.json"])
                    console.print_result(terminal.stdout(), result, ranked, folder)
    except KeyboardInterrupt:
        errors.print(f"interrupted; what is finished is kept. To go on: {shlex.join(_command())}", markup=False)
        raise typer.Exit(130) from None
    finally:
        where.close()
    if as_json:
        _print_json([json.loads(result.to_json()) for result in results])
    elif len(written) > 1:
        console.print_leaderboards(terminal.stdout(), leaderboard.leaderboards(written))
    for result in results:
        for failure in result.failures:
            terminal.error(errors, f"{result.task.name}: {failure}")
    if any(result.failures for result in results):
        raise typer.Exit(1)


@app.command()
def leaderboard(
    results: Results = None,
    boards: Annotated[bool, typer.Option("--boards", help="also rank by protocol (as for one task)")] = False,
    format_: Annotated[str, typer.Option("--format", help="text or md")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write Markdown or JSON to this file")] = None,
    as_json: Json = False,
) -> None:
    """Rank factors by identifiability, and attributors over tasks (default: results/)."""
    from natfp_bench.pipeline.result import find
    from natfp_bench.report import markdown
    from natfp_bench.results import leaderboard

    from . import console, terminal

    if format_ not in ("text", "md"):
        raise unknown("format", format_, ["text", "md"])
    if output and format_ == "text" and not as_json:
        raise UserError(f"-o {output} takes Markdown or JSON\n  add --format md or --json")
    found = leaderboard.leaderboards(find(results or [Path("results")]))
    for fault in found.faults:
        terminal.error(terminal.stderr(), f"skipped: {fault}")
    if not found.boards:
        raise UserError("no results found\n  natfp-bench run --task seed_id   makes some")
    boards = boards or len({board.task for board in found.boards}) == 1
    if as_json:
        terminal.write(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", output)
    elif format_ == "md":
        terminal.write(markdown.render(found, boards=boards), output)
    else:
        console.print_leaderboards(terminal.stdout(), found, boards=boards)
    if found.faults:
        raise typer.Exit(1)


app.command()(regress)
app.command()(identify)
app.command()(report)
app.command()(export_cli.export)
app.command("import-lm-eval")(export_cli.import_lm_eval)


@app.command()
def validate(paths: Annotated[list[Path], typer.Argument(help="task, preset, card and result files")]) -> None:
    """Check files: every fault, with its place."""
    from natfp_bench.results.validate_files import validate as check

    from . import terminal

    if missing := [path for path in paths if not path.exists()]:
        raise UserError(f"no file {str(missing[0])!r}\n  validate takes task, preset, card and result files")
    failed = False
    for path in paths:
        try:
            typer.echo(f"{path}: ok ({check(path)})")
        except UserError as error:
            failed = True
            terminal.error(terminal.stderr(), str(error))
    if failed:
        raise typer.Exit(1)


@app.command()
def schema(
    which: Annotated[str, typer.Argument(help="task, preset, card, result or identification")] = "result",
) -> None:
    """Print the JSON Schema of a kind of file, or of what `identify --json` prints."""
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline import result as results
    from natfp_bench.plan import task_files as spec
    from natfp_bench.results import identify

    schemas = {**spec.schemas(), "card": registry.Card.model_json_schema(), "result": results.schema()}
    schemas["identification"] = identify.Identification.model_json_schema()
    if which not in schemas:
        raise unknown("schema", which, schemas)
    _print_json(schemas[which])


def _task_names(given: list[str], tag: str | None, include: list[Path] | None) -> list[str]:
    from natfp_bench.plan import task_files as spec

    files = spec.task_files(include or ())
    names = [name.strip() for part in given for name in part.split(",") if name.strip()]
    if "all" in names:
        names = list(spec.trained_tasks(include or ()))
    if tag is not None:
        tags = {name: spec.load_task(path)[0].tags for name, path in files.items()}
        tagged = [name for name, has in tags.items() if tag in has]
        if not tagged:
            raise unknown("tag", tag, {one for has in tags.values() for one in has})
        # Nothing reaches for the network that was not asked for by its name.
        here = [name for name in tagged if tag == "hub" or "hub" not in tags[name]]
        if left := [name for name in tagged if name not in here]:
            said = f"left out, for their models are the Hub's: {', '.join(left)} (--task NAME, or --tag hub)"
            if not here:
                raise UserError(f"tag {tag!r}: all are {said}")
            typer.echo(said, err=True)
        names += here
    if not names:
        raise UserError("no task is named\n  natfp-bench run --task seed_id\n  natfp-bench list tasks   shows all")
    return list(dict.fromkeys(names))


def _plan(
    task: str,
    preset: str,
    settings: list[str] | None,
    corpus: str | None,
    seed: int,
    limit: int | None,
    include: list[Path] | None,
) -> Plan:
    from natfp_bench.corpus.documents import open_corpus
    from natfp_bench.plan.plan import make_plan

    overrides = _settings(settings)
    if corpus is not None:
        overrides["corpus.name"] = json.dumps(corpus)
    plan = make_plan(task, preset, overrides=overrides, seed=seed, limit=limit, include=include or ())
    try:
        for variant in plan.variants:
            open_corpus(variant.settings.corpus)
    except UserError as error:
        raise UserError(f"{error}\n  it is the corpus.name of {task} at {preset}") from None
    return plan


def _settings(given: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given or []:
        name, equals, value = one.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UserError(f"--set {one}: no KEY=VALUE\n  for example --set optimizer.lr=1e-3")
        found[name.strip()] = value.strip()
    return found


def _texts_plan(
    paths: tuple[str, ...],
    columns: tuple[str, str, str | None],
    beside: dict[str, Any],
    preset: str,
    settings: list[str] | None,
    seed: int,
    limit: int | None,
) -> Plan:
    from natfp_bench.corpus.labelled_plan import make_texts_plan
    from natfp_bench.plan.settings import TextsSpec

    if wrong := [option for option, value in beside.items() if value]:
        raise UserError(f"--texts are told apart as they are: {', '.join(wrong)} has no part in it\n  leave it out")
    text, label, group = columns
    spec = TextsSpec(paths=paths, text=text, label=label, group=group)
    return make_texts_plan(spec, preset, overrides=_settings(settings), seed=seed, limit=limit)


def _fixed_plan(task: str, shaping: dict[str, Any], include: list[Path] | None) -> Plan:
    from natfp_bench.pipeline.bundled_texts import make_fixed_plan

    if given := [option for option, value in shaping.items() if value]:
        raise UserError(f"--fixed-texts are what they are: {', '.join(given)} cannot change them\n  leave it out")
    return make_fixed_plan(task, include=include or ())


def _command() -> list[str]:
    return ["natfp-bench", *sys.argv[1:]]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def main() -> None:
    """Run the command line: a user's fault is one message and exit code 2, a failure exit code 1."""
    # What is imported by now stays: to look through it for garbage again and again costs a short command a twentieth.
    gc.freeze()
    try:
        app()
    except NatfpError as error:
        from . import terminal

        if "--debug" in sys.argv:
            traceback.print_exc()
        hint = "\n  natfp-bench --debug ...   shows the traceback" if isinstance(error, JobError) else ""
        terminal.error(terminal.stderr(), str(error) + hint)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or "--debug" in sys.argv:
            raise
        from . import terminal

        shown = f"{str(error.filename)[:60]}..."
        terminal.error(terminal.stderr(), f"{shown} is longer than a path may be here\n  take another folder or file")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
