"""Live progress: bars on a terminal, which move from the first second on; elsewhere, one line per finished stage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from natfp_bench.base.text import one_line
from natfp_bench.pipeline.engine import Event, Job

from . import terminal

NAME = 36
"""Columns for the name of a job. More would leave no room for its bar on a terminal of eighty columns."""

PULSE = 60.0
"""Seconds after which a stage that still runs is mentioned again, where there are no bars."""


@dataclass
class StageProgress:
    """How far a stage is. total: jobs in all, 0 if unknown; parts: how much of each running job is done."""

    total: int = 0
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def left(self) -> float | None:
        """Seconds that are left, if the rest goes on as until now; None if that cannot be known yet."""
        finished = self.done + sum(self.parts.values())
        if not self.total or finished <= 0:
            return None
        return (time.monotonic() - self.started) * max(self.total - finished, 0.0) / finished

    @property
    def counted(self) -> str:
        """Jobs that are done, of all if their number is known."""
        return f"{self.done} of {self.total} jobs" if self.total else f"{self.done} jobs"


class Watcher:
    """Shows what happens: on a terminal a line for now, one for each stage and one for each job; elsewhere few lines.

    task: the name of the task that is worked on, which begins every line.
    """

    def __init__(self, console: Console, now: str = "") -> None:
        self.console = console
        self.task = ""
        self.stages: dict[str, StageProgress] = {}
        self.started: dict[str, float] = {}
        self.bars: dict[str, TaskID] = {}
        self.stage_bars: dict[str, TaskID] = {}
        self.progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", table_column=Column(max_width=NAME, no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.first = self.progress.add_task("", total=None, note="", visible=False)
        self.now(now)

    def __enter__(self) -> Watcher:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close_stages()
        if not self.progress.disable:  # it would end with an empty line
            self.progress.stop()

    def now(self, what: str) -> None:
        """Say what happens now, apart from jobs."""
        if what and self.progress.disable:
            terminal.say(self.console, self._named(what))
        self.progress.update(self.first, description=escape(one_line(self._named(what))), visible=bool(what))

    def begin(self, task: str, what: str) -> None:
        """Go on to a task."""
        self._close_stages()
        self.task = task
        terminal.say(self.console, self._named(what))
        self.passing("workers start")

    def end(self) -> None:
        """A task is done: its stages are closed, and its result follows."""
        self._close_stages()
        self.passing("")

    def __call__(self, event: Event) -> None:
        """Show one event of a run."""
        job = event.job
        match event.kind:
            case "planned":
                self._stage(job.stage).total = self._stage(job.stage).done + event.total
            case "start":
                self.started[job.name] = time.monotonic()
                self._stage(job.stage).parts[job.name] = 0.0
                self._show(job.stage)  # above its jobs
                self.passing("")
                # A job whose worker died starts a second time.
                if job.name not in self.bars:
                    named = escape(one_line(self._named(job.name)))
                    self.bars[job.name] = self.progress.add_task(named, total=None, note="")
            case "progress":
                seconds = max(time.monotonic() - self.started[job.name], 1e-3)
                self._stage(job.stage).parts[job.name] = event.done / max(event.total, 1)
                note = f"{event.done / max(event.total, 1):4.0%} {_short(event.done / seconds)} {event.text}/s"
                self.progress.update(self.bars[job.name], completed=event.done, total=event.total, note=note)
            case "warning":
                terminal.warn(self.console, self._named(event.text))
            case "end":
                self._finish(job)
        if job.stage in self.stages:
            self._show(job.stage)

    def _stage(self, name: str) -> StageProgress:
        return self.stages.setdefault(name, StageProgress())

    def _finish(self, job: Job) -> None:
        self.started.pop(job.name)
        self.progress.remove_task(self.bars.pop(job.name))
        stage = self._stage(job.stage)
        stage.parts.pop(job.name, None)
        stage.done += 1

    def _show(self, name: str) -> None:
        """Show how far a stage is; a stage whose jobs are all done has its line, and its bar goes."""
        stage = self.stages[name]
        if stage.total and stage.done >= stage.total:
            self._close(name)
            if not self.stages:
                self.passing("the result is put together")
            return
        time_left = "" if stage.left is None else f", {duration(stage.left)} left"
        if self.progress.disable and stage.done + len(stage.parts) and (now := time.monotonic()) - stage.said > PULSE:
            stage.said = now
            terminal.say(self.console, self._named(f"{name}, {stage.counted}{time_left}"))
        if not stage.parts and name not in self.stage_bars:
            return
        if name not in self.stage_bars:
            stage.started = time.monotonic()  # before, it waited for others
            self.stage_bars[name] = self.progress.add_task("", total=None, note="")
        self.progress.update(
            self.stage_bars[name],
            description=escape(one_line(self._named(name))),
            completed=stage.done + sum(stage.parts.values()),
            total=stage.total or None,
            note=stage.counted + time_left,
        )

    def _close_stages(self) -> None:
        for name in list(self.stages):
            self._close(name)

    def _close(self, name: str) -> None:
        stage = self.stages.pop(name)
        if name in self.stage_bars:
            self.progress.remove_task(self.stage_bars.pop(name))
        if stage.done:
            took = duration(time.monotonic() - stage.started)
            jobs = f"{stage.done} {'job' if stage.done == 1 else 'jobs'}"
            terminal.say(self.console, self._named(f"{name}, {jobs} in {took}"))

    def passing(self, what: str) -> None:
        """Say what happens now where there is a line for it that goes again."""
        self.progress.update(self.first, description=escape(one_line(self._named(what))), visible=bool(what))

    def _named(self, what: str) -> str:
        return f"{self.task}: {what}" if self.task else what


def duration(seconds: float) -> str:
    """Print a time as people say it: 4.2 s, 48 s, 3 min, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _short(number: float) -> str:
    """Print a number in three or four characters: 87, 3.2k, 45k, 1.1M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.{1 if number < 9.95 * size else 0}f}{unit}"
    return f"{number:.0f}"
