"""Reproducibility: neither the number of workers, nor a kill at any moment, nor a full disk changes a result."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from bench import Bench
from patience import PATIENCE
from run_programs import Program

from natfp_bench.base.errors import StoreError
from natfp_bench.pipeline.local_engine import LocalEngine
from natfp_bench.pipeline.store import Store

pytestmark = pytest.mark.slow


def test_one_worker_or_two_end_alike(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    result, folder = seed_run
    one, bench.engine = bench.engine, LocalEngine(2)
    try:
        other, other_folder = bench.run("seed_id", store=tmp_path / "store")
        assert len(bench.engine._pool) == 2
    finally:
        bench.engine.close()
        bench.engine = one
    assert sum(name.startswith("train") for name in bench.started()) == 4
    assert other.stable_json() == result.stable_json()
    assert (other_folder / "predictions.parquet").read_bytes() == (folder / "predictions.parquet").read_bytes()


def test_kills_at_any_moment_change_nothing(prose: Path, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    (tmp_path / "disturbed").mkdir()
    calm, disturbed = Program(tmp_path / "calm", prose), Program(tmp_path / "disturbed", prose)
    expected, expected_predictions = calm.finish()

    disturbed.kill_when(lambda: bool(list((disturbed.store / "partial").glob("*/checkpoint.safetensors"))))
    assert disturbed.count("model") == 0
    [checkpoint] = (disturbed.store / "partial").glob("*/checkpoint.safetensors")
    assert checkpoint.stat().st_size > 0

    disturbed.kill_when(lambda: disturbed.count("sample") >= 3)
    assert 3 <= disturbed.count("sample") < 40
    assert disturbed.count("model") == 2

    disturbed.kill_when(lambda: disturbed.count("prediction") == 1)
    assert disturbed.count("prediction") == 1
    assert disturbed.count("sample") == 40

    result, predictions = disturbed.finish()
    assert result.stable_json() == expected.stable_json()
    assert predictions == expected_predictions
    assert result.failures == []
    assert Store(disturbed.store).verify() == []


def test_a_killed_parent_alone_leaves_neither_worker_nor_lock(prose: Path, tmp_path: Path) -> None:
    program = Program(tmp_path, prose)
    process = program.start()
    deadline = time.monotonic() + PATIENCE
    while not list((program.store / "partial").glob("*/checkpoint.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    # Who asks for the same training next gets its lock at once.
    [key] = [path.name for path in (program.store / "partial").iterdir()]
    clock = time.monotonic()
    Store(program.store).make("model", key, "", lambda folder: {})
    assert time.monotonic() - clock < PATIENCE


def test_a_full_disk_ends_the_run_and_keeps_what_was_finished(
    bench: Bench, seed_run: Any, mounted: Callable[[str], Path]
) -> None:
    disk = mounted("size=900k")
    with pytest.raises(StoreError, match=r"is full; what was finished is kept") as caught:
        bench.run("seed_id", store=disk / "store")
    assert caught.value.exit_code == 2
    finished = bench.started()
    assert finished[0].startswith("prepare")
    subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
    result, _ = bench.run("seed_id", store=disk / "store")
    assert not any(name.startswith("prepare") for name in bench.started())
    assert result.stable_json() == seed_run[0].stable_json()
    assert bench.warnings == []
