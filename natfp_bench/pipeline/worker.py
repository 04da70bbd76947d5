"""The inside of a worker process: jobs come through a pipe, and values, errors and news go back."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from natfp_bench.attributors import box
from natfp_bench.base.errors import AttributorError, JobError, NatfpError

from . import job_output

REPORT_SECONDS = 0.2
"""How often a job speaks of its progress, at most."""


class _Context:
    """Speaks to the parent, no more often than a person can read."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.last, self.limited = connection, 0.0, False

    def progress(self, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if now - self.last >= REPORT_SECONDS or done == total:
            self.last = now
            self.connection.send(("progress", done, total, unit))

    def warn(self, text: str) -> None:
        self.connection.send(("warning", 0, 0, text))

    def started(self) -> None:
        if self.limited:
            self.connection.send(("called",))


def serve(
    connection: Connection, lifeline: Connection, output: Connection, path: list[str], variables: dict[str, str]
) -> None:
    """Work on jobs until the parent is gone; what they print goes to a file of the parent's."""
    job_output.redirect(output)
    sys.path[:] = path
    os.environ.update(variables)
    box.prepare()
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True).start()
    context = _Context(connection)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        value: Any = None
        failed: NatfpError | None = None
        try:
            module, _, function = job.call.partition(":")
            call = getattr(importlib.import_module(module), function)
            context.limited = job.limits is not None
            context.started()
            value = call(job.payload, context)
        except NatfpError as error:
            # A kind of error that a baseline defines cannot be read outside this process.
            ours = type(error).__module__ == NatfpError.__module__
            failed = error if ours else AttributorError(str(error))
        except Exception as error:  # the worker survives whatever a job raises, and reports it
            failed = JobError(f"{job.name}: {type(error).__name__}: {error}")
            failed.add_note(traceback.format_exc())
        job_output.flush()
        connection.send(("end", value, failed))


def _die_with_parent(lifeline: Connection) -> None:
    """Block on a pipe whose other end only the parent holds: it closes when the parent ends, however that happens."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
