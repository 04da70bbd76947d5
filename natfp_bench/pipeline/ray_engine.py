"""Jobs as Ray tasks, on this machine or on a cluster.

A Ray task hands its job to a local worker of its own (`LocalEngine(1)`, kept from task to task), so that a job meets
the same process, limits, errors and messages here and there. Ray chooses the node, books what the job needs, and
notices when a node is lost. News travel through a mailbox, an actor beside the caller, who empties it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Ray reads this when it starts, and then sends no usage reports.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from natfp_bench.base.errors import JobError, NatfpError, UserError

from .engine import Event, Follow, Job, Outcome, Watch, after_death, run_one
from .local_engine import LOOK_SECONDS, LocalEngine

OBJECT_STORE = 100 * 2**20
"""Bytes that a Ray started here sets aside for what tasks pass on: keys and figures, no models or texts."""

ANSWER_SECONDS = 10.0
"""How long a cluster may take to answer at its address; Ray itself would ask for minutes."""

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@dataclass
class _RemoteAttempt:
    """A job, how often it has been started, the number that its news carry, and whether it is known to have begun."""

    job: Job
    started: int = 0
    number: int = -1
    begun: bool = False


@dataclass
class RayEngine:
    """Runs jobs on Ray, which is started or joined when the first job comes.

    workers: CPUs of a Ray that is started here; a cluster has its own. address: `host:port` of a cluster, or `auto`;
    None starts Ray on this machine, until `close`. If the caller has called `ray.init` before, that Ray is used, and
    left running.

    A job books what it needs: CPUs, a GPU where it asks for `cuda`, or for `auto` in a cluster that has GPUs, and
    memory, though no more than a node has.
    Ray counts what is booked and does not hold a job to it. Limits of time and memory are enforced as by the local
    engine, by the process above the job's. A job whose process died starts again on the same node; a job whose node was
    lost, or whose Ray worker was killed (by Ray, where a node runs out of memory), wherever there is room; each up to
    `engine.TRIES` times.
    """

    workers: int
    address: str | None = None
    _running: dict[Any, _RemoteAttempt] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _mailbox: Any = None
    _ours: bool = False

    def run(self, jobs: Iterable[Job], watch: Watch, follow: Follow) -> None:
        """Run jobs where there is room for them; raises UserError where no node could ever hold one."""
        try:
            for job in jobs:
                self._submit(_RemoteAttempt(job))
            while self._running:
                ready, _ = ray.wait(list(self._running), timeout=LOOK_SECONDS)
                self._tell(watch)
                for reference in ready:
                    attempt = self._running.pop(reference)
                    if outcome := self._receive(reference, attempt, watch):
                        if not attempt.begun:
                            watch(Event("start", attempt.job))
                        watch(Event("end", attempt.job))
                        for job in follow(outcome):
                            self._submit(_RemoteAttempt(job))
        except RayError as error:
            self.close()
            raise JobError(f"Ray failed: {_first_line(error)}") from error
        except BaseException:
            self.close()
            raise

    def _submit(self, attempt: _RemoteAttempt) -> None:
        self._connect()
        attempt.started, attempt.number = attempt.started + 1, next(self._numbers)
        task = _TASK.options(name=attempt.job.name, max_retries=0, **_needs(attempt.job, _nodes()))
        self._running[task.remote(attempt.job, attempt.number, self._mailbox, list(sys.path))] = attempt

    def _tell(self, watch: Watch) -> None:
        """Pass on what running jobs said since the last look. A task ends after its last word has arrived."""
        attempts = {attempt.number: attempt for attempt in self._running.values()}
        for number, kind, *content in ray.get(self._mailbox.take.remote()):
            if attempt := attempts.get(number):
                attempt.begun = True
                watch(Event(kind, attempt.job, *content))

    def _receive(self, reference: Any, attempt: _RemoteAttempt, watch: Watch) -> Outcome | None:
        """Read what came of a task; None where its job was started again."""
        job = attempt.job
        try:
            value, error, log = ray.get(reference)
        except RayTaskError as fault:  # before the job or after it: what it raises itself comes as a value
            failed = JobError(f"{job.name}: {_first_line(fault.cause)}")
            failed.add_note(str(fault))
            return Outcome(job, error=failed)
        except RayError as death:
            outcome = after_death(job, _death(death), attempt.started, watch)
            if outcome is None:
                self._submit(attempt)
            return outcome
        return Outcome(job, value=value, error=error, log=log)

    def _connect(self) -> None:
        if self._mailbox is not None:
            return
        if not ray.is_initialized():
            self._ours = True
            _hush(quiet=True)
            if self.address is None:
                own = {"num_cpus": self.workers, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
                ray.init("local", **own, **_QUIET)
            else:
                _join(self.address)
        # On the caller's node: if that node is lost, so is the run.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()

    def close(self) -> None:
        """Stop all tasks, and Ray where it was started here; a cluster goes on. What they had finished is kept."""
        running, mailbox, ours = list(self._running), self._mailbox, self._ours
        self._running.clear()
        self._mailbox, self._ours = None, False
        with contextlib.suppress(RayError):  # what cannot be reached any more needs no stopping
            for reference in running:
                ray.cancel(reference, force=True)
            if mailbox is not None:
                ray.kill(mailbox)
        if ours:
            ray.shutdown()
            _hush(quiet=False)


def _hush(*, quiet: bool) -> None:
    """Keep Ray from printing to standard output, where `--json` prints, that a worker or a node died: an event says it.

    Ray has no public switch for this. A version of Ray without this private one prints.
    """
    ray._private.worker._worker_logs_enabled = not quiet


def _join(address: str) -> None:
    """Join a cluster; raises UserError where none answers."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address.startswith("ray://"):
        raise UserError(
            f"--ray-address {address}: a run is started on a node of the cluster\n  there, --ray-address auto"
        )
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
        ray.init(address, **_QUIET)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise UserError(
            f"no Ray cluster can be joined at {address} ({_first_line(error)})\n"
            "  ray start --head starts one; without --ray-address, Ray is started here"
        ) from None


def _nodes() -> list[dict[str, float]]:
    """What each living node has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _needs(job: Job, nodes: list[dict[str, float]]) -> dict[str, float]:
    """Say what a job books, as Ray's options; raises UserError where no node has so much, for it would wait forever."""
    device = job.needs.device
    wanted = device == "cuda" or (device == "auto" and any(node.get("GPU") for node in nodes))
    most = max(node.get("memory", 0.0) for node in nodes)
    needs = {"CPU": job.needs.cpus, "GPU": int(wanted), "memory": min(job.needs.memory_mb * 2**20, most)}
    if not any(all(node.get(what, 0.0) >= amount for what, amount in needs.items()) for node in nodes):
        asked = " and ".join(f"{amount:g} {what}" for what, amount in needs.items() if amount and what != "memory")
        raise UserError(
            f"{job.name} needs {asked}, and no node of the Ray cluster has that\n"
            "  start a node that has it, or ask for less (--device cpu, --set numerics.threads=1, more --workers)"
        )
    names = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    return {names[what]: amount for what, amount in needs.items()}


def _death(error: RayError) -> str:
    match error:
        case OutOfMemoryError():
            return "was killed (out of memory)"
        case NodeDiedError():
            return "was lost with its node"
        case _:
            return f"died ({type(error).__name__})"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class _Mailbox:
    """What jobs said and the caller has not yet heard."""

    def __init__(self) -> None:
        self.news: list[tuple[Any, ...]] = []

    def put(self, *message: Any) -> None:
        self.news.append(message)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self.news = self.news, []
        return taken


@functools.cache
def _pool() -> LocalEngine:
    """The local worker of this Ray worker."""
    return LocalEngine(1)


def _work(job: Job, number: int, mailbox: Any, path: list[str]) -> tuple[Any, NatfpError | None, Path | None]:
    """Do a job in a Ray worker, or rather below it; returns its value, its error and its log."""
    sys.path.extend(one for one in path if one not in sys.path)
    said: list[Any] = []

    def speak(event: Event) -> None:
        if event.kind != "end":
            said[:] = [mailbox.put.remote(number, event.kind, event.done, event.total, event.text)]

    pool = _pool()
    end = run_one(pool, job, speak)
    if ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        pool.close()  # an idle process would keep memory of a GPU that Ray gives to the next one
    ray.get(said)
    return end.value, end.error, end.log


_TASK: Any = ray.remote(_work)
