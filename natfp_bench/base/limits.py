"""Limits of a piece of work: it is stopped when it exceeds one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .records import Record


class Limits(Record):
    """Time and memory that one fit with its predictions may take."""

    seconds: Annotated[float, Field(gt=0)] = 600.0
    memory_mb: Annotated[int, Field(gt=0)] = 4096
