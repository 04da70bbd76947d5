"""The commands `hidden make`, `hidden score`, `hidden board`, `hidden check` and `hidden rotate`."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from natfp_bench.base.errors import UserError

from .options import Json, StoreRoot, Workers, names, one_of

app = typer.Typer(help="Score classifiers on texts that exist nowhere in public.", no_args_is_help=True)

SecretFile = Annotated[Path, typer.Option("--secret", help="file with the secret, from which all seeds are computed")]
Tasks = Annotated[list[str] | None, typer.Option("--task", "--tasks", help="task names (a,b); default: a fixed list")]
Device = Annotated[str, typer.Option(help="what models run on: auto, cpu or cuda")]


@app.command("make")
def make(
    secret: SecretFile, task: Tasks = None, store: StoreRoot = None, workers: Workers = None, device: Device = "auto"
) -> None:
    """Train the hidden models and sample their texts.

    A secret is drawn if the file does not exist. Keep it, and the store, to yourself.
    """
    from natfp_bench import api
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import hidden

    from . import terminal
    from .progress import Watcher

    errors = terminal.stderr()
    known = hidden.read_secret(secret) if secret.exists() else hidden.new_secret(secret)
    opened = Store(store or default_root(), terminal.warner(errors))
    with closing(api.local_engine(workers)) as engine, Watcher(errors) as watch:
        texts = hidden.make(known, names(task) or hidden.TASKS, hidden.Workshop(opened, engine, watch, device))
    terminal.say(terminal.stdout(), f"{texts:,} hidden texts; digest of the secret: {known.digest}", wrap=False)


@app.command("score")
def score(
    baseline: Annotated[list[str], typer.Argument(metavar="BASELINE...", help="names and folders of baselines")],
    secret: SecretFile,
    task: Tasks = None,
    store: StoreRoot = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for hidden.json")] = Path("hidden"),
    workers: Workers = None,
    sandbox: Annotated[str, typer.Option(help="on, as for all scores that count, or off or auto, to try it")] = "on",
    as_json: Json = False,
) -> None:
    """Score baselines on hidden texts.

    Only scores, digests and intervals are written. The exit code is 1 if a baseline is suspicious.
    """
    from natfp_bench import api
    from natfp_bench.attributors import registry
    from natfp_bench.attributors import sandbox as sandboxes
    from natfp_bench.base import disk
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.report import hidden_table
    from natfp_bench.results import hidden

    from . import terminal
    from .progress import Watcher

    sandboxes.check_mode(sandbox)
    found, known = registry.find(",".join(baseline)), hidden.read_secret(secret)
    disk.usable_folder(output, "output folder")
    errors = terminal.stderr()
    opened = Store(store or default_root(), terminal.warner(errors))
    # Results name the source of each hidden text, so they live no longer than this command.
    with (
        tempfile.TemporaryDirectory() as results,
        closing(api.local_engine(workers)) as engine,
        Watcher(errors) as watch,
    ):
        tasks = names(task) or hidden.TASKS
        at = hidden.Workshop(opened, engine, watch)
        made = hidden.score(found, known, tasks, at, Path(results), sandbox=sandbox)
    path = hidden.write(made, output)
    if as_json:
        terminal.print_json(made.model_dump(mode="json", by_alias=True))
    else:
        terminal.print_table(terminal.stdout(), hidden_table.board(made, registry.bundled()))
    terminal.say(errors, f"wrote {path}", wrap=False)
    suspected = [f"{name} is suspicious: {why}" for name, of in made.scores.items() for why in of.suspicions]
    for one in suspected:
        terminal.error(errors, one)
    if suspected:
        raise typer.Exit(1)


@app.command("board")
def board(
    scores: Annotated[Path, typer.Argument(metavar="FILE", help="a hidden.json")],
    format_: Annotated[str, typer.Option("--format", help="text or md (Markdown)")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write Markdown to this file")] = None,
) -> None:
    """Show hidden scores beside the public scores of bundled baselines."""
    from natfp_bench.attributors import registry
    from natfp_bench.report import hidden_table
    from natfp_bench.results import hidden

    from . import terminal

    one_of("format", format_, ("text", "md"))
    if output and format_ == "text":
        raise UserError(f"-o {output}: only Markdown is written to a file\n  add --format md")
    made, known = hidden.read(scores), registry.bundled()
    if format_ == "md":
        terminal.write(hidden_table.page(made, known), output, marks=(hidden_table.WRITTEN,))
    else:
        terminal.print_table(terminal.stdout(), hidden_table.board(made, known))


@app.command("check")
def check(
    scores: Annotated[Path, typer.Argument(metavar="FILE", help="a hidden.json")],
    secret: SecretFile,
) -> None:
    """Check that a published secret signed some scores."""
    from natfp_bench.results import hidden

    from . import terminal

    if not hidden.read(scores).sealed_by(hidden.read_secret(secret)):
        terminal.error(terminal.stderr(), f"{scores} was not signed by the secret in {secret}, or was changed")
        raise typer.Exit(1)
    terminal.say(terminal.stdout(), f"{scores} is what the secret in {secret} signed", wrap=False)


@app.command("rotate")
def rotate(
    secret: SecretFile,
    task: Tasks = None,
    store: StoreRoot = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder for what is published")] = Path("published"),
    workers: Workers = None,
    device: Device = "auto",
) -> None:
    """Publish a secret with its texts, and draw a new one.

    Scores of the old secret can then be checked by anybody, and count no longer.
    """
    from natfp_bench import api
    from natfp_bench.pipeline.store import Store, default_root
    from natfp_bench.results import hidden

    from . import terminal
    from .progress import Watcher

    errors = terminal.stderr()
    opened = Store(store or default_root(), terminal.warner(errors))
    with closing(api.local_engine(workers)) as engine, Watcher(errors) as watch:
        at = hidden.Workshop(opened, engine, watch, device)
        place = hidden.rotate(secret, names(task) or hidden.TASKS, at, output)
    terminal.say(terminal.stdout(), f"{place} can be published; {secret} has a new secret", wrap=False)
