"""Live progress of the functions of Python, on a terminal and in notebooks, and errors without noise."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

from natfp_bench.base.errors import UserError
from natfp_bench.base.text import printable
from natfp_bench.cli import terminal
from natfp_bench.cli.progress import Watcher
from natfp_bench.pipeline.engine import Event, Watch

Given = ParamSpec("Given")
Made = TypeVar("Made")


@contextmanager
def watching(*, shown: bool) -> Iterator[tuple[Callable[[str], None], Watch]]:
    """Show what happens: yields a function that prints a line, and one that shows the events of a run.

    Notebooks get live bars if ipywidgets is installed, else lines. If nothing is to be shown, warnings are still Python
    warnings.
    """
    if not shown:
        yield (lambda _: None), _warn
        return
    out = terminal.stderr()
    watcher = Watcher(out)
    if out.is_jupyter and find_spec("ipywidgets"):
        # The bars of rich are off where the console is no terminal, but a notebook draws them as a widget.
        watcher.progress.disable = False
    with watcher as watch:
        yield (lambda line: terminal.say(out, line)), watch


def _warn(event: Event) -> None:
    if event.kind == "warning":
        warnings.warn(event.text, stacklevel=2)


def plain_errors(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Let wrong input raise its UserError without the frames of this package: the message says what to mend.

    IPython prints the message alone.
    """

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            lines = f"{type(error).__name__}: {printable(str(error))}".split("\n")
            # The protocol by which IPython asks an exception how to show it.
            error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
            raise error.with_traceback(None) from None

    return call
