"""Where jobs run: an interface, and a pool of local processes.

A job is named work on keys, never a live object, so that it can run in any process. The pool's workers are forked from
a server that has imported the heavy libraries once; they die with their parent, and when one dies alone its job goes to
a fresh one.

A job may have limits of time and memory, which the parent watches from outside. They stop what hangs or grows by
mistake; they are no sandbox. A job runs with all rights of the user who started it, and code that means harm can escape
them (by processes that leave its family, for one).
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, Protocol

import psutil

from .errors import AttributorError, JobError, NatfpError, SpecError, StoreError, UserError
from .registry import Limits

TRIES = 3
"""How often a job is started before the death of its worker counts against the job."""

REPORT_SECONDS = 0.2

GRACE_SECONDS = 3.0
"""How long a worker that was told to stop may take."""

LOOK_SECONDS = 0.2
"""How often a job with limits is looked at; a peak of memory between two looks is not seen."""

WARM = ("natfp_bench.stages",)
"""What the fork server imports before the first worker."""


@dataclass(frozen=True)
class Job:
    """Work for a worker: `call` is `module:function`, called as f(payload, context); the name is unique in its run.

    limits: what it may take before it is stopped, which is an AttributorError and no reason to try again. Seconds count
    from the call of the function. Memory is the resident size of the whole worker, with the libraries that it has
    imported, and of the processes that it started.
    """

    name: str
    stage: str
    call: str
    payload: Any
    limits: Limits | None = None


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


@dataclass
class _Attempt:
    """A job, how often it has been started, and when its function was called; that is told where there are limits."""

    job: Job
    started: int = 0
    called: float | None = None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    attempt: _Attempt | None = None


@dataclass
class LocalEngine:
    """A pool of worker processes on this machine, started when the first job comes."""

    workers: int
    _pool: list[_Worker] = field(default_factory=list)
    _lifeline: tuple[Connection, Connection] | None = None
    _looked: float = 0.0

    def run(self, jobs: Iterable[Job], watch: Watch, follow: Follow) -> None:
        """Run jobs as workers become free, in the order given, those that follow behind them."""
        queue = deque(_Attempt(job) for job in jobs)
        try:
            while queue or any(worker.attempt for worker in self._pool):
                self._hand_out(queue, watch)
                # A worker that said something meanwhile is heard first: its job may be done.
                outcomes = (self._receive(worker, queue, watch) for worker in self._ready())
                for outcome in itertools.chain(outcomes, self._stop_over_limit()):
                    if outcome:
                        watch(Event("end", outcome.job))
                        queue.extend(_Attempt(job) for job in follow(outcome))
        except BaseException:
            self.close()
            raise

    def _hand_out(self, queue: deque[_Attempt], watch: Watch) -> None:
        while queue:
            idle = next((worker for worker in self._pool if worker.attempt is None), None)
            if idle is None and len(self._pool) < self.workers:
                idle = self._start()
            if idle is None:
                return
            attempt = idle.attempt = queue.popleft()
            attempt.started, attempt.called = attempt.started + 1, None
            watch(Event("start", attempt.job))
            # Had it died idle, its end of the pipe reads as closed, and the job is dealt with there.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                idle.connection.send(attempt.job)

    def _ready(self) -> list[_Worker]:
        by_connection = {worker.connection: worker for worker in self._pool}
        timeout = LOOK_SECONDS if self._limited() else 1.0
        return [by_connection[ready] for ready in wait(list(by_connection), timeout)]  # type: ignore[index]

    def _limited(self) -> list[_Worker]:
        return [worker for worker in self._pool if worker.attempt and worker.attempt.called is not None]

    def _stop_over_limit(self) -> Iterator[Outcome]:
        """Kill the workers whose jobs take more than they may; the pool starts others as jobs come."""
        limited = self._limited()
        if not limited or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for worker in limited:
            # What waits in the pipe may be the job's value: then it was done in time.
            if worker.attempt and not worker.connection.poll() and (what := _excess(worker.attempt, worker.process)):
                self._kill(worker)
                name = worker.attempt.job.name
                yield Outcome(worker.attempt.job, error=AttributorError(f"{name}: {what}"))

    def _receive(self, worker: _Worker, queue: deque[_Attempt], watch: Watch) -> Outcome | None:
        """Read one message of a worker; returns an outcome where it ends a job."""
        attempt = worker.attempt
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):  # OSError where it died in the middle of a message
            self._bury(worker)
            if attempt is None:
                return None
            return self._retry(attempt, _death(worker.process.exitcode), queue, watch)
        if attempt is None:  # only a worker with a job speaks
            raise JobError(f"an idle worker sent {kind!r}")
        job = attempt.job
        match kind:
            case "called":
                attempt.called = time.monotonic()
                return None
            case "progress":
                watch(Event("progress", job, *content))
                return None
            case "warning":
                watch(Event("warning", job, text=content[0]))
                return None
            case "value":
                worker.attempt = None
                return Outcome(job, value=content[0])
            case _:
                worker.attempt = None
                return Outcome(job, error=_error(job, *content))

    def _kill(self, worker: _Worker) -> None:
        """Kill a worker that still works, and the processes that it started."""
        family = _family(worker.process)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
        self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.connection.close()
        # It has closed its pipe, so it is dying: but a process may take its time, or be stopped.
        worker.process.join(GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

    def _retry(self, attempt: _Attempt, how: str, queue: deque[_Attempt], watch: Watch) -> Outcome | None:
        outcome = after_death(attempt.job, how, attempt.started, watch)
        if outcome is None:
            queue.appendleft(attempt)
        return outcome

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(WARM))
        if self._lifeline is None:
            self._lifeline = context.Pipe(duplex=False)
        ours, theirs = context.Pipe()
        # The fork server's path and variables are those of its start; a worker gets those of today.
        arguments = (theirs, self._lifeline[0], list(sys.path), dict(os.environ))
        process = context.Process(target=_serve, args=arguments, daemon=True)
        with _HiddenMain():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._pool.append(worker)
        return worker

    def close(self) -> None:
        """Stop all workers, kindly first; what they had finished is in the store."""
        for worker in self._pool:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self._pool:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._pool.clear()


class _HiddenMain:
    """Hides the main module while a process starts.

    multiprocessing would import the caller's script again in each worker; workers need only this package, and a script
    without a `__main__` guard would otherwise start itself over and over.
    """

    def __enter__(self) -> None:
        main = sys.modules["__main__"]
        self.kept: dict[str, Any] = {
            name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
        }
        main.__spec__ = None

    def __exit__(self, *_: object) -> None:
        sys.modules["__main__"].__dict__.update(self.kept)


def _excess(attempt: _Attempt, process: BaseProcess) -> str | None:
    """Say what a job has taken beyond its limits."""
    limits = attempt.job.limits
    if limits is None or attempt.called is None:
        return None
    seconds = time.monotonic() - attempt.called
    if seconds > limits.seconds:
        return f"stopped after {seconds:.1f} s: its card allows {limits.seconds:g} s"
    # Pages that the family shares count for each of its processes.
    memory = 0
    for one in _family(process):
        with contextlib.suppress(psutil.Error):
            memory += one.memory_info().rss
    if memory > limits.memory_mb * 2**20:
        return f"stopped at {memory / 2**20:.0f} MB: its card allows {limits.memory_mb} MB"
    return None


def _family(process: BaseProcess) -> list[psutil.Process]:
    """A worker and all processes below it; none where it is dead."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.Error:
        return []


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed ({name}{', out of memory?' if name == 'SIGKILL' else ''})"
    return f"died (exit code {code})"


def _error(job: Job, kind: str, text: str, details: str) -> NatfpError:
    if kind == "SpecError":
        return SpecError(text.splitlines())
    known: dict[str, type[NatfpError]] = {of.__name__: of for of in (StoreError, UserError, AttributorError)}
    if kind in known:
        return known[kind](text)
    error = JobError(f"{job.name}: {text}")
    error.add_note(details)
    return error


class _Context:
    """Speaks to the parent, no more often than a person can read."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.last = connection, 0.0

    def progress(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if now - self.last >= REPORT_SECONDS or done == total:
            self.last = now
            self.connection.send(("progress", done, total, unit))

    def warn(self, text: str) -> None:
        self.connection.send(("warning", text))


def _serve(connection: Connection, lifeline: Connection, path: list[str], variables: dict[str, str]) -> None:
    """Work on jobs until the parent is gone."""
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    sys.path[:] = path
    os.environ.update(variables)
    context = _Context(connection)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            module, _, function = job.call.partition(":")
            call = getattr(importlib.import_module(module), function)
            if job.limits is not None:
                connection.send(("called",))
            value = call(job.payload, context)
            answer: tuple[Any, ...] = ("value", value)
        except Exception as error:  # whatever a job raises, the worker lives on and the parent is told
            answer = ("error", _kind(error), _text(error), traceback.format_exc())
        connection.send(answer)


def _kind(error: Exception) -> str:
    for known in (SpecError, StoreError, UserError, AttributorError):
        if isinstance(error, known):
            return known.__name__
    return type(error).__name__


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, NatfpError) else f"{type(error).__name__}: {error}"


def _die_with_parent(lifeline: Connection) -> None:
    """Block on a pipe whose other end only the parent holds: it closes when the parent ends, however that happens."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
