"""What jobs need of the machine: cores, memory and GPUs are booked, and nothing waits that need not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from engine_jobs import job, run, sees, together

from natfp_bench.pipeline import local_engine
from natfp_bench.pipeline.engine import WORKER_MB, Job, Needs
from natfp_bench.pipeline.local_engine import LocalEngine
from natfp_bench.pipeline.sources.kind import Identities, source_kind
from natfp_bench.pipeline.stages.trained import TrainedModel
from natfp_bench.plan.make_plan import make_plan


def needing(name: str, **needs: Any) -> Job:
    return replace(job(sees, 0.3, name), needs=Needs(**needs))


@pytest.fixture
def machine() -> Iterator[LocalEngine]:
    """Three cores, 3,000 MB, two GPUs."""
    made = LocalEngine(3, memory_mb=3000, gpus=["left", "right"])
    yield made
    made.close()


def test_cores_are_booked(machine: LocalEngine) -> None:
    jobs = [needing("one", cpus=2), needing("two", cpus=2), needing("three", cpus=1)]
    # Long enough that a worker is there for the other one, however busy the machine.
    found, _ = run(machine, [jobs[0], *(replace(one, payload=3.0) for one in jobs[1:])])
    assert frozenset(("one", "two")) not in together(found)
    assert frozenset(("two", "three")) in together(found)


def test_memory_is_booked(machine: LocalEngine) -> None:
    found, _ = run(machine, [needing(name, memory_mb=1600) for name in ("one", "two")])
    assert together(found) == set()


def test_what_is_larger_than_the_machine_runs_alone(machine: LocalEngine) -> None:
    found, _ = run(machine, [needing("small"), needing("large", cpus=64, memory_mb=10**6), needing("other")])
    assert len(found) == 3
    assert not any("large" in pair for pair in together(found))


def test_each_gpu_has_one_job_at_a_time(machine: LocalEngine) -> None:
    jobs = [needing(f"gpu {number}", device="cuda", memory_mb=10) for number in range(4)]
    found, _ = run(machine, [*jobs, needing("cpu", memory_mb=10)])
    assert sorted(found[one.name].value[0] for one in jobs) == ["left", "left", "right", "right"]
    for pair in together(found):
        assert len({found[name].value[0] for name in pair}) == 2
    # It waits for none of them.
    assert found["cpu"].value[1] < max(found[one.name].value[1] for one in jobs)


def test_auto_without_a_gpu_is_the_cpu(machine: LocalEngine) -> None:
    machine.gpus = []
    found, _ = run(machine, [needing("any", device="auto")])
    assert found["any"].value[0] == os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("variable", "names"), [("0,1", ["0", "1"]), ("", []), ("2,-1,3", ["2"]), ("GPU-8f3a, 1", ["GPU-8f3a", "1"])]
)
def test_visible_gpus(monkeypatch: pytest.MonkeyPatch, variable: str, names: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert local_engine.visible_gpus() == names


def model(preset: str) -> TrainedModel:
    plan = make_plan("seed_id", preset)
    return source_kind("train").model(plan.variants[0].settings, plan, Identities())  # type: ignore[return-value]


def test_what_models_need() -> None:
    quick, paper = model("quick"), model("paper")
    assert quick.machine("auto").device == "auto"
    for made in (quick, *source_kind("train").samples(quick, make_plan("seed_id", "quick").variants[0].settings, 0, 1)):
        assert WORKER_MB < made.machine("cpu").memory_mb < WORKER_MB + 500
    assert paper.machine("cuda").memory_mb > 4000
