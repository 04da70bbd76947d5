"""Finished runs as Python sees them."""

from __future__ import annotations

from typing import Any

import pytest

from natfp_bench.python.ask import load_results
from natfp_bench.python.finished import Result


@pytest.fixture
def seeds(bench: Any, seed_run: Any) -> Result:
    """One run of `seed_id`, with its store."""
    return load_results(seed_run[1], store=bench.store)[0]


@pytest.fixture
def rates(bench: Any, rate_run: Any) -> Result:
    """One brief run of `rate`, which holds out replicates."""
    return load_results(rate_run[1], store=bench.store)[0]
