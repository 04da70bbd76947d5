"""How a long computation reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called as (done, total, unit)."""


def no_progress(done: int, total: int, unit: str) -> None:
    """Report nothing."""
