"""What a piece of work may take before it is stopped."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .records import Record


class Limits(Record):
    """Time and memory that one fit and its prediction may take."""

    seconds: Annotated[float, Field(gt=0)] = 600.0
    memory_mb: Annotated[int, Field(gt=0)] = 4096
