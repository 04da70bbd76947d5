"""A pool of processes on this machine.

Workers are forked from a server that has imported the heavy libraries once. They end with their parent. If a worker
dies alone, a new one takes over its job. Jobs start in their order, as cores, memory and GPUs allow.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from natfp_bench.base.errors import AttributorError, JobError
from natfp_bench.base.text import how_it_ended

from .engine import Event, Follow, Job, Outcome, Watch, after_death
from .job_output import JobOutput
from .warm import PARENT
from .worker import serve

GRACE_SECONDS = 3.0
"""How long a worker may take to stop after it was asked to."""

LOOK_SECONDS = 0.2
"""How often a job with limits is checked, at most; a peak of memory between two checks is not seen."""

LOOK_SHARE = 20
"""Checks wait for so many times as long as the last one took, so that they cost little of a core."""

STARTS = 5
"""Attempts to start one worker, in case the server that forks workers is killed during one."""

WARM = ("natfp_bench.pipeline.warm",)
"""What the fork server imports before the first worker."""


@dataclass
class _Attempt:
    """A job, how often it was started, and when its function was called, which is reported if it has limits."""

    job: Job
    started: int = 0
    called: float | None = None


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    output: JobOutput
    gpu: str | None = None
    attempt: _Attempt | None = None

    def close(self) -> None:
        """Close what leads to the process."""
        self.connection.close()
        self.output.file.close()


@dataclass
class LocalEngine:
    """A pool of worker processes on this machine, started when the first job comes.

    workers: cores that running jobs may reserve together. A job that needs more than there is runs alone. memory_mb:
    memory that they may reserve; None for what is free when the first job comes. gpus: names of the GPUs, each for one
    job at a time; None for those that are visible.
    """

    workers: int
    memory_mb: int | None = None
    gpus: Sequence[str] | None = None
    _pool: list[_Worker] = field(default_factory=list)
    _lifeline: tuple[Connection, Connection] | None = None
    _look_at: float = 0.0

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
        for attempt in list(queue):
            free = self._free_gpus()
            wants_gpu = attempt.job.needs.device != "cpu" and bool(self._gpus())
            if wants_gpu and not free:
                continue  # those behind it that need no GPU may go first
            if not self._has_room(attempt.job):
                return
            queue.remove(attempt)
            idle = self._idle(free[0] if wants_gpu else None)
            idle.attempt = attempt
            attempt.started, attempt.called = attempt.started + 1, None
            idle.output.clear()
            watch(Event("start", attempt.job))
            # Had it died idle, its end of the pipe reads as closed, and the job is dealt with there.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                idle.connection.send(attempt.job)

    def _gpus(self) -> Sequence[str]:
        if self.gpus is None:
            self.gpus = visible_gpus()
        return self.gpus

    def _free_gpus(self) -> list[str]:
        taken = {worker.gpu for worker in self._pool if worker.attempt}
        return [gpu for gpu in self._gpus() if gpu not in taken]

    def _has_room(self, job: Job) -> bool:
        """Whether a job fits beside those that run; alone it always does."""
        if self.memory_mb is None:
            self.memory_mb = psutil.virtual_memory().available // 2**20
        booked = [worker.attempt.job.needs for worker in self._pool if worker.attempt]
        cpus = sum(needs.cpus for needs in booked) + job.needs.cpus
        memory = sum(needs.memory_mb for needs in booked) + job.needs.memory_mb
        return not booked or (cpus <= self.workers and memory <= self.memory_mb)

    def _idle(self, gpu: str | None) -> _Worker:
        """Find a worker without a job that sees a GPU, or all of them where it is None; or start one."""
        idle = [worker for worker in self._pool if worker.attempt is None]
        for worker in idle:
            if worker.gpu == gpu:
                return worker
        if idle and len(self._pool) >= self.workers:
            self._kill(idle[0])  # it holds another GPU, and memory
        return self._start(gpu)

    def _ready(self) -> list[_Worker]:
        by_connection = {worker.connection: worker for worker in self._pool}
        timeout = LOOK_SECONDS if self._limited() else 1.0
        return [by_connection[ready] for ready in wait(list(by_connection), timeout)]  # type: ignore[index]

    def _limited(self) -> list[_Worker]:
        return [worker for worker in self._pool if worker.attempt and worker.attempt.called is not None]

    def _stop_over_limit(self) -> Iterator[Outcome]:
        """Kill the workers whose jobs take more than they may; the pool starts others as jobs come."""
        limited = self._limited()
        if not limited or time.monotonic() < self._look_at:
            return
        began = time.monotonic()
        for worker in limited:
            # What waits in the pipe may be the job's value: then it was done in time.
            if worker.attempt and not worker.connection.poll() and (what := _excess(worker.attempt, worker.process)):
                job, log = worker.attempt.job, worker.output.keep(worker.attempt.job)
                self._kill(worker)
                yield Outcome(job, error=AttributorError(f"{job.name}: {what}"), log=log)
        # Looking goes through all processes of the machine; where there are many, it is done less often.
        done = time.monotonic()
        self._look_at = done + max(LOOK_SECONDS, LOOK_SHARE * (done - began))

    def _receive(self, worker: _Worker, queue: deque[_Attempt], watch: Watch) -> Outcome | None:
        """Read one message of a worker; returns an outcome where it ends a job."""
        attempt = worker.attempt
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):  # OSError where it died in the middle of a message
            log = worker.output.keep(attempt.job) if attempt else None
            self._bury(worker)
            if attempt is None:
                return None
            outcome = after_death(attempt.job, how_it_ended(worker.process.exitcode), attempt.started, watch, log)
            if outcome is None:
                queue.appendleft(attempt)
            return outcome
        if attempt is None:  # only a worker with a job speaks
            raise JobError(f"an idle worker sent {kind!r}")
        if kind == "end":
            worker.attempt = None
            value, error = content
            return Outcome(attempt.job, value, error, worker.output.keep(attempt.job))
        if kind == "called":
            attempt.called = time.monotonic()
        else:
            watch(Event(kind, attempt.job, *content))
        return None

    def _kill(self, worker: _Worker) -> None:
        """Kill a worker that still works, and the processes that it started."""
        for one in _family(worker.process):
            with contextlib.suppress(psutil.Error):
                one.kill()
        self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.close()
        # It has closed its pipe, so it is dying: but a process may take its time, or be stopped.
        worker.process.join(GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

    def _start(self, gpu: str | None) -> _Worker:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(WARM))
        if self._lifeline is None:
            self._lifeline = context.Pipe(duplex=False)
        (ours, theirs), output = context.Pipe(), JobOutput()
        # The fork server's path and variables are those of its start; a worker gets those of today.
        variables = dict(os.environ) if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": gpu}
        handed = output.handed_over()
        arguments = (theirs, self._lifeline[0], handed, list(sys.path), variables)
        for left in reversed(range(STARTS)):
            process = context.Process(target=serve, args=arguments, daemon=True)
            try:
                with _hidden_main(), _named_parent():
                    process.start()
                break
            except (EOFError, ConnectionError):
                # The fork server was killed while it was asked; the next try starts another one.
                if not left:
                    raise JobError("no worker process can be started: the server of processes dies") from None
                time.sleep(LOOK_SECONDS)
        theirs.close()
        handed.close()
        worker = _Worker(process, ours, output, gpu)
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
            worker.close()
        self._pool.clear()


def visible_gpus() -> list[str]:
    """Names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES has them; found without CUDA."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        # What stands behind a -1 is invisible.
        return [*itertools.takewhile(lambda name: name not in ("", "-1"), map(str.strip, named.split(",")))]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the main module while a process starts.

    multiprocessing would import the caller's script again in each worker; workers need only this package, and a script
    without a `__main__` guard would otherwise start itself over and over.
    """
    main = sys.modules["__main__"]
    names: tuple[str, ...] = ("__file__", "__spec__")
    kept = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(kept)


@contextlib.contextmanager
def _named_parent() -> Iterator[None]:
    """Name this process to the fork server, if one has to be started."""
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(PARENT, None)


def _excess(attempt: _Attempt, process: BaseProcess) -> str | None:
    """Say what a job has taken beyond its limits."""
    limits = attempt.job.limits
    if limits is None or attempt.called is None:
        return None
    seconds = time.monotonic() - attempt.called
    if seconds > limits.seconds:
        return f"stopped after {seconds:.1f} s: its card allows {limits.seconds:g} s"
    memory = sum(map(_memory, _family(process)))
    if memory > limits.memory_mb * 2**20:
        return f"stopped at {memory / 2**20:.0f} MB: its card allows {limits.memory_mb} MB"
    return None


def _memory(process: psutil.Process) -> int:
    """Bytes of a process, its part of what it shares with others where the system knows it."""
    with contextlib.suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _family(process: BaseProcess) -> list[psutil.Process]:
    """A worker and all processes below it; none where it is dead."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.Error:
        return []
