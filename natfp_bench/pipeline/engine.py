"""The interface of what runs jobs, on one machine or on many.

A job is described by data, never by a live object, so that any process can do it.

A job may have limits of time and memory, which another process watches. They stop code that hangs or grows by mistake.
A classifier's code runs in a process below the job's (`attributors.box`), in a sandbox of the system if that is asked
for; without one it has all rights of the user who started it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from natfp_bench.base.errors import JobError, NatfpError
from natfp_bench.base.limits import Limits

TRIES = 3
"""How often a job is started before it fails because its worker died."""


WORKER_MB = 1024
"""Memory of a worker with the libraries and the texts of a task."""


@dataclass(frozen=True)
class Needs:
    """Cores, memory and a device that a job takes while it runs.

    device: `cuda` needs a GPU of its own, and `auto` takes one if there are any.
    """

    cpus: int = 1
    memory_mb: int = WORKER_MB
    device: str = "cpu"


@dataclass(frozen=True)
class Job:
    """Work for a worker: `call` is `module:function`, called as f(payload, context); the name is unique in its run.

    limits: time and memory after which it is stopped; that is an AttributorError, and the job is not tried again.
    Seconds count from the call of the function, or from `Context.started`. Memory is that of the whole worker, its
    imported libraries included, and of the processes that it started. needs: what is reserved for it while it runs.
    logs: folder for what it writes to standard output and error; an empty string is the folder of temporary files.
    """

    name: str
    stage: str
    call: str
    payload: Any
    limits: Limits | None = None
    needs: Needs = field(default_factory=Needs)
    logs: str = ""


@dataclass(frozen=True)
class Outcome:
    """The end of a job: the function's value, or an error. log: what it wrote to standard output and error, if any."""

    job: Job
    value: Any = None
    error: NatfpError | None = None
    log: Path | None = None


@dataclass(frozen=True)
class Event:
    """News of a job, for the caller's `watch`; `planned`: `total` jobs of this stage are still to be done."""

    kind: Literal["planned", "start", "progress", "warning", "end"]
    job: Job
    done: int = 0
    total: int = 0
    text: str = ""


Watch = Callable[[Event], None]
Follow = Callable[[Outcome], Iterable[Job]]


class Context(Protocol):
    """What a job's function can report while it works."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how far the job is."""

    def warn(self, text: str) -> None:
        """Tell the user something that does not stop the job."""

    def started(self) -> None:
        """Say that what had to be prepared is there: the time that the job may take counts from here."""


class Engine(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Iterable[Job], watch: Watch, follow: Follow) -> None:
        """Run jobs, and the jobs that `follow` returns for each outcome, until none is left.

        `watch` and `follow` are called in the caller's process, one at a time. If one of them raises an exception, the
        running jobs are stopped and the exception is passed on.
        """

    def close(self) -> None:
        """Stop all workers."""


def run_one(engine: Engine, job: Job, watch: Watch) -> Outcome:
    """Run one job, and return its end."""
    ends: list[Outcome] = []

    def keep(outcome: Outcome) -> tuple[Job, ...]:
        ends.append(outcome)
        return ()

    engine.run([job], watch, keep)
    return ends[0]


def values(engine: Engine, jobs: Iterable[Job], watch: Watch) -> dict[str, Any]:
    """Run jobs, and return their values by name; raises the first error."""
    found: dict[str, Any] = {}

    def keep(outcome: Outcome) -> tuple[Job, ...]:
        if outcome.error:
            raise outcome.error
        found[outcome.job.name] = outcome.value
        return ()

    engine.run(jobs, watch, keep)
    return found


def after_death(job: Job, how: str, started: int, watch: Watch, log: Path | None = None) -> Outcome | None:
    """Decide what follows when a worker died: None if its job continues in another one, which is reported."""
    if started >= TRIES:
        return Outcome(job, error=JobError(f"{job.name}: the worker {how}, {TRIES} times"), log=log)
    watch(Event("warning", job, text=f"a worker {how}; {job.name} goes on in another one{printed(log)}"))
    return None


def printed(log: Path | None) -> str:
    """Say where the output of a job is, as the last line of a message; an empty string if there is none."""
    return f"\n  it printed: {log}" if log else ""
