"""Engines that the tests of a module share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from bench import Bench
from engine_jobs import alive, below, double, job, run

from natfp_bench.pipeline.local_engine import LocalEngine

if TYPE_CHECKING:
    from natfp_bench.pipeline.ray_engine import RayEngine


@pytest.fixture(scope="module")
def local_engine() -> Iterator[LocalEngine]:
    """A pool of two workers."""
    made = LocalEngine(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Where Ray keeps its sockets: their paths may have 107 characters, and pytest's folders are too long."""
    made = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(made))
        yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def ray_engine(ray_folder: Path, bench: Bench) -> Iterator[RayEngine]:
    """Ray of two CPUs, which leaves no process."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'natfp-bench[ray]'")
    from natfp_bench.pipeline.ray_engine import RayEngine

    run(bench.engine, [job(double, 1)])  # the shared pool is there before Ray, and stays when Ray ends
    before, made = below(psutil.Process()), RayEngine(2)
    yield made
    family = below(psutil.Process()) - before
    made.close()
    assert alive(family) == []
