"""Messages between a run and a classifier's process: a head in JSON, and raw numbers behind it.

What the classifier's process sends is data alone: nothing of it is executed or unpickled when it is read, and it is
checked before it is used.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from natfp_bench.base.errors import AttributorError
from natfp_bench.base.records import Record

SIZES = struct.Struct("<IQ")
"""Bytes of the head and of the numbers, which stand before both."""

MOST_SAID = 500
"""Most characters of what a classifier says when it fails."""

MOST_HEAD = 2**20
"""Most bytes of a head that a classifier's process may send."""

NUMBERS = np.dtype("<f8")


class Ready(Record):
    """The attributor is built; groups: whether its `fit` takes the numbers of prompts."""

    done: Literal["build"]
    groups: bool


class Fitted(Record):
    """The attributor has learnt; classes: its `classes_`; peak_mb: highest memory of its process."""

    done: Literal["fit"]
    classes: list[Any]
    peak_mb: Annotated[int, Field(ge=0, le=2**24)]


class Answered(Record):
    """Probabilities (rows, columns) follow as numbers."""

    done: Literal["ask"]
    rows: Annotated[int, Field(ge=0, le=2**24)]
    columns: Annotated[int, Field(ge=0, le=2**16)]
    peak_mb: Annotated[int, Field(ge=0, le=2**24)]


class Checked(Record):
    """What a check of the contract saw."""

    done: Literal["check"]
    ok: bool
    seen: Annotated[str, Field(max_length=10_000)]
    seconds: Annotated[float, Field(ge=0)]


class Failed(Record):
    """The classifier raised, or broke the contract."""

    done: Literal["failed"]
    error: Annotated[str, Field(max_length=10_000)]


def send(to: socket.socket, head: Mapping[str, Any], numbers: NDArray[np.float64] | None = None) -> None:
    """Send a message; raises OSError if the other side is gone."""
    text = json.dumps(head).encode("ascii")  # characters without UTF-8 are spelt out
    body = b"" if numbers is None else np.ascontiguousarray(numbers, NUMBERS).tobytes()
    to.sendall(SIZES.pack(len(text), len(body)) + text + body)


def receive(source: socket.socket, *, most_head: int | None = None, most_numbers: int = 0) -> tuple[bytes, bytes]:
    """Receive a message: its head, and its numbers.

    Raises EOFError if the other side has closed or is gone, AttributorError for more than it may send.
    """
    head, numbers = SIZES.unpack(exactly(source, SIZES.size))
    if (most_head is not None and head > most_head) or numbers > most_numbers * NUMBERS.itemsize:
        raise AttributorError("its process sent more than was asked for")
    return exactly(source, head), exactly(source, numbers)


def reply(source: socket.socket, kind: type[Record], most_numbers: int = 0) -> tuple[Any, NDArray[np.float64]]:
    """Receive the answer of a classifier's process: a record of a kind, and numbers.

    Raises AttributorError with its own message if it failed, or if it sent anything else. EOFError as `receive`.
    """
    head, numbers = receive(source, most_head=MOST_HEAD, most_numbers=most_numbers)
    try:
        failed = Failed.model_validate_json(head)
    except ValidationError:
        pass
    else:
        # Some programs that read logs take a line with two colons for a command.
        raise AttributorError(failed.error[:MOST_SAID].replace("::", ": :"))
    try:
        return kind.model_validate_json(head), np.frombuffer(numbers, NUMBERS).astype(np.float64)
    except (ValidationError, RecursionError, ValueError):
        raise AttributorError("its process sent something other than the answer") from None


def exactly(source: socket.socket, size: int) -> bytes:
    """Receive so many bytes; raises EOFError if they do not come."""
    found = bytearray()
    while len(found) < size:
        try:
            part = source.recv(min(size - len(found), 2**20))
        except OSError:
            part = b""
        if not part:
            raise EOFError
        found += part
    return bytes(found)
