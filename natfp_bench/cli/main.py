"""The command line's entry point: it registers the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import codecs
import errno
import gc
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, TextIO

import typer

from natfp_bench import __version__
from natfp_bench.base import disk
from natfp_bench.base.errors import JobError, NatfpError

from . import baseline, hidden, store
from .check_models import check_models
from .compare import compare
from .curve import curve
from .examples import epilog
from .export import export, import_lm_eval
from .identify import identify
from .leaderboard import leaderboard
from .look import list_, schema, show, validate
from .regress import regress
from .report import report
from .run import run
from .sweep import sweep
from .texts import texts
from .trace import trace

app = typer.Typer(
    name="natfp-bench",
    help="The benchmark of natural fingerprints: how identifiable does each training factor make a language model?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog(""),
)
COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_,
    "show": show,
    "run": run,
    "sweep": sweep,
    "curve": curve,
    "texts": texts,
    "compare": compare,
    "leaderboard": leaderboard,
    "report": report,
    "identify": identify,
    "trace": trace,
    "regress": regress,
    "export": export,
    "import-lm-eval": import_lm_eval,
    "check-models": check_models,
    "validate": validate,
    "schema": schema,
}
"""By name, in the order of the help."""

for _name, _command in COMMANDS.items():
    _settings = {"allow_extra_args": True} if _name == "run" else None
    app.command(_name, epilog=epilog(_name), context_settings=_settings)(_command)
for _name, _group in (("baseline", baseline.app), ("hidden", hidden.app), ("store", store.app)):
    for _one in _group.registered_commands:
        _one.epilog = epilog(f"{_name} {_one.name}")
    app.add_typer(_group, name=_name, epilog=epilog(_name))

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EPIPE)
"""Errors of a stream that takes nothing more."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import terminal

        terminal.say(terminal.stdout(), f"natfp-bench {__version__}")
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


COMMAND = typer.main.get_command(app)
"""The whole command line. Who calls `main` often in one process does not wait for it each time."""


def main() -> None:
    """Run the command line. Wrong input gives one message and exit code 2, a failure exit code 1."""
    # What is imported by now stays. Without this, garbage collection takes a twentieth of the time of a short command.
    gc.freeze()
    _take_every_character()
    try:
        try:
            COMMAND()
        finally:
            sys.stdout.flush()
    except NatfpError as error:
        if "--debug" in sys.argv:
            _print_error(traceback.format_exc())
        hint = "\n  natfp-bench --debug ...   shows the traceback" if isinstance(error, JobError) else ""
        _fail(str(error) + hint, error.exit_code)
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        # What a run writes to disks has errors of its own, which name the folder.
        if error.filename is None and error.errno in UNWRITABLE:
            _give_output_up(error)
        why = disk.refusal(error.errno)
        if why is None:
            raise
        _fail(f"{str(error.filename or 'standard output')[:200]}: {why}\n  give another path", 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _take_every_character() -> None:
    """Have streams escape what their encoding lacks, as JSON does, so that JSON stays JSON in any locale."""
    codecs.register_error("escape", _escaped)
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # None if they were closed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escape")


def _nowhere() -> TextIO:
    made = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open as long as the process is
    os.set_inheritable(made.fileno(), True)  # it has the number of the stream that was closed
    return made


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(json.dumps(c)[1:-1] for c in error.object[error.start : error.end]), error.end


def _fail(message: str, exit_code: int) -> None:
    _print_error(message)
    sys.exit(exit_code)


def _give_output_up(error: OSError) -> None:
    from . import terminal

    terminal.drop(sys.stdout)
    if error.errno == errno.EPIPE:  # whoever read it has left, and knows
        sys.exit(1)
    _fail(f"standard output cannot be written ({error.strerror})\n  what was finished is kept", 2)


def _print_error(message: str) -> None:
    from . import terminal

    terminal.error(terminal.stderr(), message)
