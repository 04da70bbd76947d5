"""What runs jobs: an interface, for whatever machines there are.

A job is named work on keys, never a live object, so that it can run in any process.

A job may have limits of time and memory, which are watched from outside. They stop what hangs or grows by mistake; they
are no sandbox. A job runs with all rights of the user who started it, and code that means harm can escape them (by
processes that leave its family, for one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from natfp_bench.base.errors import JobError, NatfpError
from natfp_bench.base.limits import Limits

TRIES = 3
"""How often a job is started before the death of its worker counts against the job."""


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

    limits: what it may take before it is stopped, which is an AttributorError and no reason to try again. Seconds count
    from the call of the function. Memory is the resident size of the whole worker, with the libraries that it has
    imported, and of the processes that it started. needs: what is set aside for it while it runs.
    """

    name: str
    stage: str
    call: str
    payload: Any
    limits: Limits | None = None
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: the function's value, or the error that stands for it."""

    job: Job
    value: Any = None
    error: NatfpError | None = None


@dataclass(frozen=True)
class Event:
    """News of a job, for whoever watches."""

    kind: Literal["start", "progress", "warning", "end"]
    job: Job
    done: int = 0
    total: int = 0
    text: str = ""


Watch = Callable[[Event], None]
Follow = Callable[[Outcome], Iterable[Job]]


class Context(Protocol):
    """What a job's function may say while it works."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how far the job is."""

    def warn(self, text: str) -> None:
        """Tell the user something that does not stop the job."""


class Engine(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Iterable[Job], watch: Watch, follow: Follow) -> None:
        """Run jobs, and those that `follow` makes of each outcome, until none is left.

        `watch` and `follow` are called in the caller's process, one at a time. An exception that one of them raises
        stops the running jobs and comes out of here.
        """

    def close(self) -> None:
        """Stop all workers."""


def after_death(job: Job, how: str, started: int, watch: Watch) -> Outcome | None:
    """Decide on a job whose worker died: None where it goes on in another one, of which the user is told."""
    if started >= TRIES:
        return Outcome(job, error=JobError(f"{job.name}: the worker {how}, {TRIES} times"))
    watch(Event("warning", job, text=f"a worker {how}; {job.name} goes on in another one"))
    return None
