"""The inside of a box: a server that has run no classifier's code forks one process for each fit.

A classifier's process has what it is sent, and nothing else of the run: no label of a test text, no other classifier,
no connection to the run but its own. It answers as `box_messages` says, and ends with its connection.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from . import box_messages as messages

if TYPE_CHECKING:
    from .knowledge import Knowledge

PID = struct.Struct("<q")

FORK, END = b"f", b"e"
"""Requests to a server: fork a process for the connection that comes with it; end a process, by its number."""

WARM = ("natfp_bench.attributors.contract", "natfp_bench.attributors.text_classifier", "scipy.sparse")
WARM_SKLEARN = ("sklearn.linear_model", "sklearn.feature_extraction.text", "sklearn.pipeline")
"""What a server imports before the first fork, so that a fit need not."""

PROCESSES, FILES = 512, 1024
"""Most processes and threads, and most open files, of a sandboxed classifier."""

DATA_MB, MAPPED_MB = 512, 4096
"""Memory beyond that of its card that a sandboxed process may allocate, and may map: libraries map much more than they
use."""

MOST_OPEN = 2**20
"""Numbers of files that a server may have inherited, at most."""

DYING_SECONDS = 2.0
"""Time that a process has to die once its connection is closed."""

PR_SET_PDEATHSIG = 1


def forked(connection: socket.socket) -> None:
    """Become a server, in a process that was just forked and has done nothing yet; never returns."""
    try:
        _close_all_but(connection.fileno())
        _die_with_parent()
        serve(connection)
    finally:
        os._exit(0)


def main(number: int, user: int | None, memory_mb: int | None) -> None:
    """Serve in an interpreter of its own.

    number: file descriptor of the connection. user: who to become. memory_mb: memory of a classifier, if it is limited
    here.
    """
    connection = socket.socket(fileno=number)
    if memory_mb is not None:
        limit(memory_mb)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    _die_with_parent()
    for name in (*WARM_SKLEARN, *WARM):
        importlib.import_module(name)
    serve(connection)


def limit(memory_mb: int) -> None:
    """Limit what each process from here on can take; none of it can be raised again."""
    limits = {
        resource.RLIMIT_DATA: (memory_mb + DATA_MB) * 2**20,
        resource.RLIMIT_AS: (memory_mb + MAPPED_MB) * 2**20,
        resource.RLIMIT_FSIZE: memory_mb * 2**20,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        resource.setrlimit(which, (most, most))


def serve(control: socket.socket) -> None:
    """Fork a process for each connection that comes, until the run closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            request, handed, _, _ = socket.recv_fds(control, 1 + PID.size, 1)
        except OSError:
            return
        if not request:
            return
        if request[:1] == FORK:
            child = os.fork()
            if child == 0:
                control.close()
                _become_classifier(socket.socket(fileno=handed[0]))
            os.close(handed[0])
            control.sendall(PID.pack(child))
        else:
            control.sendall(PID.pack(_end(*PID.unpack(request[1:]))))


def _end(child: int) -> int:
    """End a process and those that it started; returns its exit code as `subprocess` has it."""
    deadline = time.monotonic() + DYING_SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def _become_classifier(connection: socket.socket) -> None:
    """Do what comes through a connection; never returns."""
    try:
        os.setsid()
        _die_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.dont_write_bytecode = True
        sys.pycache_prefix = os.devnull  # compiled files beside a classifier are never read
        Work(connection).go_on()
    except BaseException:
        os._exit(1)
    os._exit(0)


class Work:
    """One attributor, from its build to its last answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.attributor: Any = None
        self.baseline: Any = None
        self.threads = 1
        self.columns = 0

    def go_on(self) -> None:
        """Answer one message after another, until the connection is closed."""
        from natfp_bench.base.errors import NatfpError

        from .registry import last_line

        while True:
            try:
                head, _ = messages.receive(self.connection)
            except EOFError:
                return
            asked = json.loads(head)
            try:
                said, numbers = getattr(self, f"do_{asked.pop('do')}")(**asked)
            except NatfpError as error:
                said, numbers = self._failed(str(error)), None
            except (Exception, SystemExit) as error:
                said, numbers = self._failed(last_line(error)), None
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            messages.send(self.connection, said, numbers)

    @staticmethod
    def _failed(error: str) -> dict[str, Any]:
        return {"done": "failed", "error": error[:10_000]}

    def do_build(
        self, baseline: dict[str, Any], knowledge: dict[str, Any] | None, seed: int, threads: int
    ) -> tuple[dict[str, Any], None]:
        """Build a fresh attributor."""
        from . import registry
        from .attribute import guarded, takes_groups

        self.baseline, self.threads = registry.Baseline.model_validate(baseline, strict=False), threads
        self.attributor = guarded("build", lambda: registry.build(self.baseline, seed, _known(knowledge)))
        groups = guarded("fit", lambda: takes_groups(self.attributor))
        return {"done": "build", "groups": groups}, None

    def do_fit(self, texts: list[str], labels: list[str], groups: list[int] | None) -> tuple[dict[str, Any], None]:
        """Learn from texts and labels."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        from .attribute import forget_peak, guarded, peak_mb

        extra = {} if groups is None else {"groups": np.array(groups, dtype=np.int64)}
        forget_peak()
        with threadpool_limits(self.threads):
            guarded("fit", lambda: self.attributor.fit(texts, labels, **extra))
        classes = guarded("classes_", lambda: np.asarray(self.attributor.classes_).tolist())
        known = guarded("classes_", lambda: json.loads(json.dumps(classes if isinstance(classes, list) else [classes])))
        self.columns = len(known)
        return {"done": "fit", "classes": known, "peak_mb": peak_mb()}, None

    def do_ask(self, texts: list[str]) -> tuple[dict[str, Any], Any]:
        """Answer for some texts."""
        from threadpoolctl import threadpool_limits

        from .attribute import check_proba, guarded, peak_mb

        with threadpool_limits(self.threads):
            answer = guarded("predict_proba", lambda: self.attributor.predict_proba(texts))
        proba = check_proba(answer, len(texts), self.columns)
        return {"done": "ask", "rows": len(proba), "columns": self.columns, "peak_mb": peak_mb()}, proba

    def do_check(
        self, baseline: dict[str, Any], knowledge: dict[str, Any] | None, check: str
    ) -> tuple[dict[str, Any], None]:
        """Make one check of the contract."""
        from . import contract, registry

        one = registry.Baseline.model_validate(baseline, strict=False)
        known = _known(knowledge)
        subject = contract.Subject(lambda seed: registry.build(one, seed, known), one.card.floor, one.card.limits)
        start = time.perf_counter()
        ok, seen = contract.check(subject, next(rule for rule in contract.CHECKS if rule.name == check))
        seconds = round(time.perf_counter() - start, 3)
        return {"done": "check", "ok": bool(ok), "seen": str(seen)[:10_000], "seconds": seconds}, None


def _known(knowledge: dict[str, Any] | None) -> Knowledge | None:
    """What the attributor may know, from a message."""
    from .knowledge import Knowledge

    return None if knowledge is None else Knowledge.model_validate(knowledge, strict=False)


def _die_with_parent() -> None:
    """Ask the system to kill this process when the one that started it ends; Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _close_all_but(number: int) -> None:
    """Close every file but standard output and error, and one: a classifier must not reach what its parent has open."""
    os.closerange(3, number)
    # Some systems allow a thousand million files, and may close them one by one.
    os.closerange(number + 1, MOST_OPEN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
