"""Live progress of a run: bars on a terminal; elsewhere, one line per finished job."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from natfp_bench.base.text import one_line
from natfp_bench.pipeline.engine import Event, Job

from . import terminal

NAME = 36
"""Columns for the name of a job. More would leave no room for its bar on a terminal of eighty columns."""


class Watcher:
    """Shows the events of a run: bars on a terminal; elsewhere, one line per finished job."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        self.progress = Progress(
            TextColumn("{task.description}", table_column=Column(max_width=NAME, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]}", justify="right"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Watcher:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.progress.disable:  # it would end with an empty line
            self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event of a run."""
        job = event.job
        match event.kind:
            case "start":
                self.started[job.name] = time.monotonic()
                # A job whose worker died starts a second time.
                if job.name not in self.bars:
                    self.bars[job.name] = self.progress.add_task(escape(one_line(job.name)), total=None, rate="")
            case "progress":
                seconds = max(time.monotonic() - self.started[job.name], 1e-3)
                rate = f"{_short(event.done / seconds)} {event.text}/s"
                self.progress.update(self.bars[job.name], completed=event.done, total=event.total, rate=rate)
            case "warning":
                terminal.warn(self.console, event.text)
            case "end":
                self._finish(job)

    def _finish(self, job: Job) -> None:
        seconds = time.monotonic() - self.started.pop(job.name)
        self.progress.remove_task(self.bars.pop(job.name))
        # Hundreds of lines about very short jobs would bury the others.
        if job.stage not in ("score", "sample") or seconds >= 5.0:
            terminal.say(self.console, f"{job.name}: {seconds:.1f} s")


def _short(number: float) -> str:
    """Print a number in three or four characters: 87, 3.2k, 45k, 1.1M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.{1 if number < 9.95 * size else 0}f}{unit}"
    return f"{number:.0f}"
