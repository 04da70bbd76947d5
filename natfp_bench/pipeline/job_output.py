"""What jobs write to standard output and error, captured where the system writes it, and kept as logs.

A classifier may print, and so may a library in C: neither may get between the lines of a command, or into its JSON. The
engine gives each worker a file without a name, which leaves nothing behind whoever is killed. What a job wrote into it
becomes a log when the job ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import sys
import tempfile
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from natfp_bench.base.errors import UserError
from natfp_bench.base.text import printable

from .engine import Job

MOST = 1_000_000
"""Bytes that a log keeps: the last ones."""

STREAMS = (1, 2)
"""File descriptors of standard output and error."""


@dataclass(frozen=True)
class JobOutput:
    """The engine's side: a file that a worker's streams lead to."""

    file: IO[bytes] = field(default_factory=lambda: _nameless())

    def handed_over(self) -> Connection:
        """The file in the form in which multiprocessing hands a file descriptor to a new process."""
        return Connection(os.dup(self.file.fileno()))

    def clear(self) -> None:
        """Forget what was written so far. Both processes share one position in the file."""
        os.ftruncate(self.file.fileno(), 0)
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)

    def keep(self, job: Job) -> Path | None:
        """Keep what a job wrote, control characters spelled out, in a log of its own; None if it wrote nothing."""
        size = os.fstat(self.file.fileno()).st_size
        text = os.pread(self.file.fileno(), MOST, max(0, size - MOST)).decode(errors="backslashreplace")
        if not text.strip():
            return None
        plain = re.sub(r"[^a-zA-Z0-9_]+", "-", job.name)[:60]
        with contextlib.suppress(OSError):  # a full disk: what the job made matters more
            folder = Path(job.logs or tempfile.gettempdir())
            folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(".log", f"{plain}-", folder)
            with open(handle, "w", encoding="utf-8") as log:
                log.write(printable(text.replace("\r\n", "\n")))
            return Path(path)
        return None


def _nameless() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise UserError(
            f"no temporary file can be made ({error.strerror})\n  make room, or name another folder with TMPDIR"
        ) from None


def redirect(to: Connection) -> None:
    """Let the streams of this process, a worker, lead to the engine's file."""
    # What was buffered before the fork is no job's.
    with open(os.devnull, "wb") as nowhere:
        _lead_to(nowhere.fileno())
        flush()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    _lead_to(to.fileno())


def _lead_to(file: int) -> None:
    for stream in STREAMS:
        os.dup2(file, stream)


def flush() -> None:
    """Write what this process still holds back, in Python and in C."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a job closed it, or its disk is full
            stream.flush()
    ctypes.CDLL(None).fflush(None)
