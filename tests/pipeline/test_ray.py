"""The engine on Ray, on real processes: what it books, who dies, and the same bytes as on the local one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from bench import Bench
from engine_jobs import alive, below, double, eat, job, kill_parent, nap, run, see, warn_and_stay_once
from patience import AGES, PATIENCE
from run_programs import Program
from safetensors import safe_open

from natfp_bench import api
from natfp_bench.attributors.registry import Limits
from natfp_bench.base.errors import AttributorError, UserError
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.engine import WORKER_MB, Engine, Event, Job, Needs, Outcome
from natfp_bench.pipeline.sources.kind import Identities, source_kind
from natfp_bench.pipeline.stages.stage import Work
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.make_plan import make_plan

if TYPE_CHECKING:
    from natfp_bench.pipeline.ray_engine import RayEngine
    from natfp_bench.plan.settings import Settings

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'natfp-bench[ray]'")


@pytest.fixture(scope="module")
def engine(ray_engine: RayEngine) -> RayEngine:
    """One engine for all tests: that it survives each of them is part of what is tested."""
    return ray_engine


@pytest.mark.slow
def test_jobs_follow(engine: RayEngine) -> None:
    done: list[int] = []

    def follow(outcome: Outcome) -> list[Job]:
        done.append(outcome.value)
        return [job(double, outcome.value)] if outcome.value < 20 else []

    engine.run([job(double, 3)], lambda _: None, follow)
    assert done == [6, 12, 24]


@pytest.mark.slow
def test_a_job_whose_ray_worker_dies_goes_on_in_another(engine: RayEngine, tmp_path: Path) -> None:
    outcomes, events = run(engine, [job(kill_parent, str(tmp_path / "killed"), "frail"), job(double, 1, "good")])
    assert outcomes["frail"].value == "alive"
    assert outcomes["good"].value == 2
    assert [event.text for event in events if event.kind == "warning"] == [
        "a worker died (WorkerCrashedError); frail goes on in another one"
    ]
    assert [event.kind for event in events if event.job.name == "frail"].count("end") == 1


@pytest.mark.slow
def test_limits_are_kept(engine: RayEngine) -> None:
    slow = replace(job(nap, AGES, "slow"), limits=Limits(seconds=1.0, memory_mb=1 << 20))
    greedy = replace(job(eat, (3000, False), "greedy"), limits=Limits(seconds=AGES, memory_mb=2000))
    outcomes, _ = run(engine, [slow, greedy])
    assert {type(outcome.error) for outcome in outcomes.values()} == {AttributorError}
    assert "its card allows 1 s" in str(outcomes["slow"].error)
    assert "its card allows 2000 MB" in str(outcomes["greedy"].error)


def on_device(device: str, threads: int, settings: Settings) -> Job:
    numerics = settings.numerics.model_copy(update={"threads": threads})
    changed = settings.model_copy(update={"numerics": numerics})
    plan = make_plan("seed_id", "smoke")
    model = source_kind("train").model(changed, plan, Identities())
    return replace(job(see, None, "train"), payload=Work(model, "", "", device), needs=model.machine(device))


def test_what_a_job_books(tiny: Settings) -> None:
    from natfp_bench.pipeline.ray_engine import _needs

    plain, gpu = {"CPU": 4.0, "memory": 8e9}, {"CPU": 2.0, "GPU": 1.0, "memory": 8e9}
    small = WORKER_MB * 2**20
    assert _needs(job(double, 1), [plain]) == {"num_cpus": 1, "num_gpus": 0, "memory": small}

    def booked(device: str, threads: int, nodes: list[dict[str, float]]) -> tuple[float, float]:
        needs = _needs(on_device(device, threads, tiny), nodes)
        assert small < needs["memory"] < 2 * small
        return needs["num_cpus"], needs["num_gpus"]

    assert booked("cpu", 2, [gpu]) == (2, 0)
    assert booked("auto", 1, [plain]) == (1, 0)
    assert booked("auto", 1, [plain, gpu]) == (1, 1)
    endless = replace(job(double, 1), needs=Needs(memory_mb=1 << 20))
    assert _needs(endless, [plain])["memory"] == 8e9
    with pytest.raises(UserError, match=r"train needs 1 CPU and 1 GPU, and no node"):
        _needs(on_device("cuda", 1, tiny), [plain])
    with pytest.raises(UserError, match=r"train needs 4 CPU and 1 GPU, and no node"):
        _needs(on_device("cuda", 4, tiny), [plain, gpu])


@pytest.mark.slow
@pytest.mark.parametrize("where", ["watch", "follow"])
def test_an_exception_of_the_caller_stops_all(engine: RayEngine, where: str) -> None:
    def stop(_: Any) -> Any:
        raise KeyboardInterrupt

    run(engine, [job(nap, 0.0)])
    family = [one for one in below(psutil.Process()) if "ray" in one.name()]
    assert "raylet" in {one.name() for one in family}
    watch, follow = (stop, lambda _: ()) if where == "watch" else (lambda _: None, stop)
    clock = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.run([job(double, 1), job(nap, AGES)], watch, follow)
    assert time.monotonic() - clock < AGES
    assert not ray.is_initialized()
    assert alive(family) == []
    assert run(engine, [job(double, 4)])[0]["double 4"].value == 8, "it can be used again"


def test_no_jobs_start_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    from natfp_bench.pipeline.ray_engine import RayEngine

    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("started"))
    engine: Engine = RayEngine(1)
    engine.run([], lambda _: None, lambda _: ())
    engine.close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:99999", "ray://127.0.0.1:10001"])
def test_an_address_without_an_answer_is_one_message(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from natfp_bench.pipeline.ray_engine import RayEngine

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    engine = RayEngine(1, address)
    with pytest.raises(UserError) as caught:
        engine.run([job(double, 1)], lambda _: None, lambda _: ())
    assert address in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_options_that_do_not_fit(natfp: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--engine ray"):
        api.open_engine("local", None, "auto")
    with pytest.raises(UserError, match="--workers"):
        api.open_engine("ray", 2, "auto")
    monkeypatch.delitem(sys.modules, "natfp_bench.pipeline.ray_engine", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = natfp("run", "--task", "seed_id", "--engine", "ray")
    assert (code, out) == (2, "")
    assert "pip install 'natfp-bench[ray]'" in err


@pytest.mark.slow
def test_a_gpu_is_free_once_its_job_is_done(engine: RayEngine, ray_folder: Path, tiny: Settings) -> None:
    engine.close()
    ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        jobs = [replace(on_device("cuda", 1, tiny), name=str(n)) for n in range(4)]
        outcomes, _ = run(engine, [*jobs, job(see, None, "none")])
        assert {outcomes[str(n)].value["devices"] for n in range(4)} == {"0", "1"}
        assert len({outcomes[str(n)].value["process"] for n in range(4)}) == 4
        assert outcomes["none"].value["devices"] == os.environ.get("CUDA_VISIBLE_DEVICES")
        engine.close()
        assert ray.is_initialized(), "it was not the engine that started it"
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_job_whose_node_is_lost_goes_on_in_another(engine: RayEngine, ray_folder: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    from natfp_bench.pipeline.ray_engine import RayEngine

    engine.close()
    size = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **size})
    joined = RayEngine(1, cluster.address)
    try:
        # Ray picks the node that a caller connects to. While the head is the only one, that is not the one to be lost.
        run(joined, [job(double, 1)])
        first = cluster.add_node(num_cpus=2, **size)
        wide = replace(job(warn_and_stay_once, str(tmp_path / "began"), "stay"), needs=Needs(cpus=2))  # not on the head
        events: list[Event] = []
        outcomes: list[Outcome] = []

        def watch(event: Event) -> None:
            events.append(event)
            if event.kind == "warning" and event.text == "off I go" and first in cluster.worker_nodes:
                cluster.add_node(num_cpus=2, **size)
                cluster.remove_node(first, allow_graceful=False)

        joined.run([wide], watch, lambda outcome: outcomes.append(outcome) or ())
        assert [outcome.value for outcome in outcomes] == ["done"]
        assert any("stay goes on in another one" in event.text for event in events if event.kind == "warning")
        joined.close()
        assert not ray.is_initialized()
        assert run(joined, [job(double, 1)])[0]["double 1"].value == 2, "the cluster goes on"
    finally:
        joined.close()
        cluster.shutdown()


@pytest.mark.slow
def test_ray_and_a_local_worker_end_alike(bench: Bench, seed_run: Any, engine: RayEngine, tmp_path: Path) -> None:
    result, folder = seed_run
    local, bench.engine = bench.engine, engine
    try:
        other, other_folder = bench.run("seed_id", store=tmp_path / "store")
    finally:
        bench.engine = local
    assert sum(name.startswith("train") for name in bench.started()) == 4
    assert bench.warnings == []
    assert other.stable_json() == result.stable_json()
    assert (other_folder / "predictions.parquet").read_bytes() == (folder / "predictions.parquet").read_bytes()


def on_ray(folder: Path, corpus: Path) -> tuple[Program, subprocess.Popen[str]]:
    """`natfp-bench run --engine ray` of a task, started and in the middle of a training."""
    folder.mkdir()
    program = Program(folder, corpus)
    process = program.start("--engine", "ray", output=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    while step(program) < 2:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return program, process


def step(program: Program) -> int:
    """The step of the only checkpoint, or 0."""
    for path in (program.store / "partial").glob("*/checkpoint.safetensors"):
        with safe_open(path, framework="np") as file:
            return int(json.loads(file.metadata()["counters"])["step"])
    return 0


@pytest.mark.slow
def test_a_worker_killed_in_a_training_changes_nothing(ray_folder: Path, prose: Path, tmp_path: Path) -> None:
    (tmp_path / "calm").mkdir()
    calm = Program(tmp_path / "calm", prose)
    expected, expected_predictions = calm.finish()

    program, process = on_ray(tmp_path / "disturbed", prose)
    family = below(psutil.Process(process.pid))
    [worker] = [one for one in family if one.name().startswith("ray::train")]
    reached = step(program)
    worker.kill()
    while (now := step(program)) <= reached:
        assert now in (0, reached), "it began anew"
        assert process.poll() is None
        time.sleep(0.01)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert "goes on in another one" in output.replace("\n", " ")
    assert "INFO" not in output
    assert "(raylet)" not in output
    assert alive(family) == []

    [path] = program.output.rglob("result.json")
    assert results.read(path).stable_json() == expected.stable_json()
    assert (path.parent / "predictions.parquet").read_bytes() == expected_predictions
    assert Store(program.store).verify() == []


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_ends_ray(ray_folder: Path, prose: Path, tmp_path: Path) -> None:
    _, process = on_ray(tmp_path / "run", prose)
    family = below(psutil.Process(process.pid))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "natfp-bench run --task pair" in output.replace("\n", " ")
    assert "Traceback" not in output
    assert alive(family) == []
