"""How long tests wait. No test measures speed: `benchmarks/` does."""

from __future__ import annotations

PATIENCE = 300.0
"""Seconds within which everything that a test waits for happens, however busy the machine is."""

AGES = 600.0
"""Seconds that a job sleeps if a test asserts that nothing waits for its end."""
