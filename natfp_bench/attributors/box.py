"""A classifier in a box: each fit has a process of its own, which gets texts and gives numbers back.

The process is forked by a server that has run no classifier's code. In a sandbox, each box has a server of its own;
without one, a worker has one server for all its jobs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.errors import AttributorError
from natfp_bench.base.text import how_it_ended

from . import box_messages as messages
from . import boxed, sandbox
from .knowledge import Knowledge
from .registry import Baseline

STOPPING_SECONDS = 5.0


@dataclass
class Server:
    """A process that forks others; control: the connection to it; process: None where it was forked, not started."""

    control: socket.socket
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def started(cls) -> Self:
        """Start a server in an interpreter of its own."""
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = sandbox.interpreter(theirs.fileno(), None)
            process = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        return cls(ours, process)

    @classmethod
    def sandboxed(cls, baseline: Baseline, hidden: Sequence[Path], readable: Sequence[Path]) -> Self:
        """Start a server in a sandbox for a baseline; hidden, readable: as of `sandbox.command`."""
        ours, theirs = socket.socketpair()
        with theirs:
            number, memory = theirs.fileno(), baseline.card.limits.memory_mb
            arguments = sandbox.interpreter(number, memory)
            places = (baseline.folder, hidden, memory, readable)
            process = sandbox.start(arguments, *places, keep=[number], stdin=subprocess.DEVNULL)
        return cls(ours, process)

    def fork(self) -> tuple[socket.socket, int]:
        """Fork a process; returns the connection to it, and its number.

        Raises AttributorError if the server is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.control, [boxed.FORK], [theirs.fileno()])
                return ours, self._number()
            except (OSError, EOFError):
                ours.close()
                how = "" if self.process is None else f" (exit code {self.process.wait()})"
                raise AttributorError(f"no process can be started for it{how}") from None

    def end(self, child: int) -> int:
        """End a process that was forked; returns its exit code, negative for a signal."""
        try:
            self.control.sendall(boxed.END + boxed.PID.pack(child))
            return self._number()
        except (OSError, EOFError):
            return -9  # it died with the server

    def _number(self) -> int:
        (number,) = boxed.PID.unpack(messages.exactly(self.control, boxed.PID.size))
        return int(number)

    def close(self) -> None:
        """End the server, and with it all that it forked."""
        self.control.close()
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOPPING_SECONDS)
            self.process.kill()
            self.process.wait()


_shared: list[Server] = []
"""The server of this process for classifiers without a sandbox, once there is one."""


def prepare() -> None:
    """Fork this process's server; to be called before the process has done anything, and before it has threads."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        boxed.forked(theirs)
    theirs.close()
    _shared[:] = [Server(ours)]


def _server() -> Server:
    if not _shared:
        _shared.append(Server.started())
        atexit.register(_shared[0].close)
    return _shared[0]


@dataclass
class Box:
    """Processes of one classifier, one after another; a context manager that ends them.

    sandboxed: whether they are in a sandbox, where its card's memory is limited by the kernel; hidden: folders that
    must not be seen there; started: called once the sandbox is there; knowledge: what it is given beside labelled
    texts, which can be read in the sandbox, and not written.
    """

    baseline: Baseline
    sandboxed: bool = False
    hidden: Sequence[Path] = ()
    threads: int = 1
    started: Callable[[], None] = lambda: None
    knowledge: Knowledge | None = None
    _own: Server | None = None
    _open: Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
        if self._own is not None:
            self._own.close()

    def build(self, seed: int) -> BoxedAttributor:
        """Build a fresh attributor in a process of its own; the one before it is ended."""
        process = self._fresh()
        said, _ = process.ask(messages.Ready, {"do": "build", **self._named, "seed": seed, "threads": self.threads})
        return BoxedAttributor(process, said.groups, self.baseline.card.batch)

    def check(self, name: str) -> messages.Checked:
        """Make one check of the contract in a process of its own."""
        said, _ = self._fresh().ask(messages.Checked, {"do": "check", **self._named, "check": name})
        found: messages.Checked = said
        return found

    @property
    def _named(self) -> dict[str, Any]:
        knowledge = self.knowledge.model_dump(mode="json") if self.knowledge else None
        return {"baseline": self.baseline.model_dump(mode="json"), "knowledge": knowledge}

    def _fresh(self) -> Process:
        if self._open is not None:
            self._open.close()
        if self.sandboxed and self._own is None:
            readable = self.knowledge.paths if self.knowledge else ()
            self._own = Server.sandboxed(self.baseline, self.hidden, readable)
        server, first = self._own or _server(), self._open is None
        self._open = Process(server, *server.fork())
        if first:
            self.started()
        return self._open


@dataclass
class Process:
    """A classifier's process, and the connection to it."""

    server: Server
    connection: socket.socket
    number: int
    peak_mb: int = 0
    code: int | None = None

    def ask(self, kind: type[Any], head: dict[str, Any], most_numbers: int = 0) -> tuple[Any, NDArray[np.float64]]:
        """Send a message, and receive the answer, a record of a kind with numbers.

        Raises AttributorError if the classifier fails, sends anything else, or its process ends.
        """
        try:
            messages.send(self.connection, head)
            said, numbers = messages.reply(self.connection, kind, most_numbers)
        except (OSError, EOFError):
            raise AttributorError(f"its process {how_it_ended(self.close())}") from None
        self.peak_mb = max(self.peak_mb, getattr(said, "peak_mb", 0))
        return said, numbers

    def close(self) -> int:
        """End the process, unless that is done; returns its exit code."""
        if self.code is None:
            self.connection.close()
            self.code = self.server.end(self.number)
        return self.code


@dataclass
class BoxedAttributor:
    """An attributor in another process, with scikit-learn's contract.

    takes_groups: whether its `fit` takes the numbers of prompts. batch: texts that it is asked about at a time.
    """

    process: Process
    takes_groups: bool
    batch: int
    classes_: NDArray[Any] = field(default_factory=lambda: np.array([]))

    def fit(self, texts: Sequence[str], labels: Sequence[str], groups: NDArray[np.int64] | None = None) -> Self:
        """Learn from texts and their labels."""
        head = {"do": "fit", "texts": list(texts), "labels": list(labels)}
        said, _ = self.process.ask(messages.Fitted, {**head, "groups": None if groups is None else groups.tolist()})
        self.classes_ = np.array(said.classes, dtype=object)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class for each text, asked for in batches."""
        columns = len(self.classes_)
        found = [np.empty((0, columns))]
        for start in range(0, len(texts), self.batch):
            part = list(texts[start : start + self.batch])
            said, numbers = self.process.ask(messages.Answered, {"do": "ask", "texts": part}, len(part) * columns)
            if (said.rows, said.columns, numbers.size) != (len(part), columns, len(part) * columns):
                raise AttributorError("its process sent something other than the answer")
            found.append(numbers.reshape(len(part), columns))
        return np.concatenate(found)

    @property
    def peak_mb(self) -> int:
        """Highest memory of its process so far, by its own account."""
        return self.process.peak_mb
