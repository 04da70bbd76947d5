"""How long tests wait. None of them tells a fast machine from a slow one: that is what `benchmarks/` is for."""

from __future__ import annotations

PATIENCE = 100.0
"""Seconds within which all that is waited for comes, however busy the machine."""

AGES = 600.0
"""Seconds that a job sleeps of which a test says that nobody waits for its end."""
