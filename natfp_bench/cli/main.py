"""The command line's entry point: it registers the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import sys
import traceback
from typing import Annotated

import typer

from natfp_bench import __version__
from natfp_bench.base import disk
from natfp_bench.base.errors import JobError, NatfpError

from . import baseline, store
from .export import export, import_lm_eval
from .identify import identify
from .leaderboard import leaderboard
from .look import list_, schema, show, validate
from .regress import regress
from .report import report
from .run import run

app = typer.Typer(
    name="natfp-bench",
    help="The benchmark of natural fingerprints: how identifiable does each training factor make a language model?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("list")(list_)
app.command()(show)
app.command()(run)
app.command()(leaderboard)
app.command()(report)
app.command()(identify)
app.command()(regress)
app.command()(export)
app.command("import-lm-eval")(import_lm_eval)
app.command()(validate)
app.command()(schema)
app.add_typer(baseline.app, name="baseline")
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"natfp-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
    # Acts by its callback; --debug is read where errors are printed.
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Wrong input gives one message and exit code 2, a failure exit code 1."""
    # What is imported by now stays. Without this, garbage collection takes a twentieth of the time of a short command.
    gc.freeze()
    try:
        app()
    except NatfpError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        hint = "\n  natfp-bench --debug ...   shows the traceback" if isinstance(error, JobError) else ""
        _fail(str(error) + hint, error.exit_code)
    except OSError as error:
        why = disk.refusal(error.errno)
        if why is None or "--debug" in sys.argv:
            raise
        _fail(f"{str(error.filename or 'standard output')[:200]}: {why}\n  give another path", 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, exit_code: int) -> None:
    from . import terminal

    terminal.error(terminal.stderr(), message)
    sys.exit(exit_code)
