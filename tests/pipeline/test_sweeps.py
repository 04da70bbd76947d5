"""Sweeps and forks as whole runs: what they share, what they save, and how they go on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench import BRIEF, FEW, Bench
from patience import PATIENCE

from natfp_bench import api
from natfp_bench.pipeline.overview import overview, sweep_overview
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.result_files import read
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.sweep import sweep_plans

OVER = {"budget.tokens": ["x0.25", "x0.5", "x1"]}

Natfp = Callable[..., tuple[int, str, str]]


def plans_of(bench: Bench, task: str, over: dict[str, list[str]], **more: str) -> list[Any]:
    overrides = {"corpus.name": f"text:{bench.corpus}", **BRIEF, **more}
    overrides = {path: value for path, value in overrides.items() if path not in over}
    return sweep_plans(task, "smoke", over, overrides=overrides)


def finished(bench: Bench, plans: list[Any], folder: Path, events: list[Any] | None = None) -> list[Result]:
    how: dict[str, Any] = {"store": folder / "store", "output": folder / "results", "workers": 1, "device": "cpu"}
    watch = (lambda _: None) if events is None else events.append
    return [result for result, _ in api.run_plans(plans, baselines=FEW, watch=watch, **how)]


@pytest.fixture(scope="module")
def constant(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result], list[Any]]:
    """A sweep over budgets with a constant learning rate: its folder, results and events."""
    folder, events = tmp_path_factory.mktemp("constant"), list[Any]()
    plans = plans_of(bench, "seed_id", OVER, **{"schedule.name": "constant"})
    return folder, finished(bench, plans, folder, events), events


@pytest.mark.slow
def test_a_sweep_over_tokens_costs_its_longest_run(bench: Bench, constant: Any, tmp_path: Path) -> None:
    folder, results, events = constant
    assert [result.variants[0].tokens_trained for result in results] == [15_360, 30_720, 61_440]
    trained = [event for event in events if event.kind == "start" and event.job.stage == "train"]
    assert len(trained) == 12
    assert all(event.job.payload.start for event in trained[4:]), "the later ones go on from the earlier ones"
    # Each step was taken once: what a model logs begins where the one before it stopped.
    plans = plans_of(bench, "seed_id", OVER, **{"schedule.name": "constant"})
    found = sweep_overview(plans, tmp_path / "empty")
    assert (found.tokens_to_train, found.tokens_apart) == (4 * 61_440, 4 * (15_360 + 30_720 + 61_440))
    assert found.over == ("budget.stop",)
    again = sweep_overview(plans, folder / "store")
    assert (again.models_to_train, again.tokens_to_train) == (0, 0)
    assert again.disk_bytes == sum(one.disk_bytes for _, one in again.plans)


@pytest.mark.slow
def test_a_cell_is_what_it_is_alone(bench: Bench, constant: Any, tmp_path: Path) -> None:
    plans = plans_of(bench, "seed_id", OVER, **{"schedule.name": "constant"})
    (alone,) = finished(bench, plans[2:], tmp_path)
    assert alone.stable_json() == constant[1][2].stable_json()


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_stopped(bench: Bench, constant: Any, tmp_path: Path) -> None:
    plans = plans_of(bench, "seed_id", OVER, **{"schedule.name": "constant"})

    class TornError(Exception):
        pass

    seen: list[Any] = []

    def tear(event: Any) -> None:
        seen.append(event)
        if sum(one.kind == "end" and one.job.stage == "train" for one in seen) == 6:
            raise TornError

    how: dict[str, Any] = {"store": tmp_path / "store", "output": tmp_path / "results", "workers": 1, "device": "cpu"}
    with pytest.raises(TornError):
        list(api.run_plans(plans, baselines=FEW, watch=tear, **how))
    events: list[Any] = []
    results = finished(bench, plans, tmp_path, events)
    started = [event.job.name for event in events if event.kind == "start" and event.job.stage == "train"]
    assert 6 <= len(started) < 12
    assert [one.stable_json() for one in results] == [one.stable_json() for one in constant[1]]


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on(bench: Bench, constant: Any, tmp_path: Path) -> None:
    settings = {"corpus.name": f"text:{bench.corpus}", **BRIEF, "schedule.name": "constant"}
    settings.pop("budget.tokens")
    command = [sys.executable, "-m", "natfp_bench", "sweep", "--task", "seed_id", "-p", "smoke", "--baseline", FEW]
    command += ["--over", "budget.tokens=x0.25,x0.5,x1", "--workers", "1", "--device", "cpu"]
    command += [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    command += ["--store", str(tmp_path / "store"), "-o", str(tmp_path / "results")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "env": environment}
    process = subprocess.Popen(command, start_new_session=True, **options)
    deadline = time.monotonic() + PATIENCE
    # In the second of three runs, whose models go on from those of the first.
    while len(list((tmp_path / "store" / "model").glob("*/*"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "results").rglob("result.json"))) == 1
    assert subprocess.run(command, **options, check=False).returncode == 0
    found = {one.protocol_digest: one for one in map(read, (tmp_path / "results").rglob("result.json"))}
    assert sorted(one.stable_json() for one in found.values()) == sorted(one.stable_json() for one in constant[1])


@pytest.mark.slow
def test_decays_share_a_constant_run(bench: Bench, tmp_path: Path) -> None:
    over = {"budget.tokens": ["x0.5", "x1"]}
    plans = plans_of(bench, "seed_id", over, **{"schedule.name": "warmup_stable_decay"})
    found = sweep_overview(plans, tmp_path / "empty")
    # Steps: 54 and 6 of a decay, then 54 more and 12 of the next decay.
    assert found.tokens_to_train == 4 * 512 * (54 + 6 + 54 + 12)
    events: list[Any] = []
    finished(bench, plans, tmp_path, events)
    starts = [event.job for event in events if event.kind == "start" and event.job.stage == "train"]
    assert sum(job.name.startswith("train the beginning of") for job in starts) == 8


@pytest.fixture(scope="module")
def forks(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """Forks of one run at two steps."""
    folder = tmp_path_factory.mktemp("forks")
    return folder, finished(bench, plans_of(bench, "fork_id", {"fork.at": ["0.5", "0.75"]}), folder)


@pytest.mark.slow
def test_what_is_before_a_fork_is_one_run(bench: Bench, forks: Any, tmp_path: Path) -> None:
    plans = plans_of(bench, "fork_id", {"fork.at": ["0.5", "0.75"]})
    for plan, result in zip(plans, forks[1], strict=True):
        trunks = {of.model.trunk.key for of in resolve(plan)}  # type: ignore[attr-defined]
        (shared,) = overview(plan, tmp_path / "empty").beginnings
        assert trunks == {shared.key}
        assert (shared.steps, len(shared.variants)) == (40, 4)
        check = next(one for one in result.checks if one.name == "copies are one run until the fork")
        assert check.ok
        assert f"until step {shared.step}, copies are 1 run of 1, of weights " in check.detail
        assert len({of.training_multiset for of in result.variants}) == 1
        assert len({of.weights for of in result.variants}) == 4


def test_a_later_fork_goes_on_from_an_earlier_one(bench: Bench, tmp_path: Path) -> None:
    found = sweep_overview(plans_of(bench, "fork_id", {"fork.at": ["0.75", "0.5"]}), tmp_path / "empty")
    assert [values["fork.at"] for values, _ in found.plans] == [0.5, 0.75]
    assert found.tokens_to_train == 512 * (20 + 4 * 20 + 10 + 4 * 10)


def test_kinds_of_forks_share_their_beginning(bench: Bench, tmp_path: Path) -> None:
    over = {"fork.kind": ["data_order", "dropout", "last_place"]}
    found = sweep_overview(plans_of(bench, "fork_id", over, **{"model.dropout": "0.1"}), tmp_path / "empty")
    assert len({one.beginnings[0].key for _, one in found.plans}) == 1
    assert found.tokens_to_train == 512 * (20 + 3 * 4 * 20)


def test_replicates_have_a_beginning_each(bench: Bench) -> None:
    plan = bench.plan("fork_id", overrides={"replicates": "3"})
    assert len({of.model.trunk for of in resolve(plan)}) == 3  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_beginning_that_is_gone_is_trained_again(bench: Bench, tmp_path: Path) -> None:
    # A longer run whose start another plan should have made, and did not: it trains from the beginning.
    plans = plans_of(bench, "seed_id", OVER, **{"schedule.name": "constant"})
    assert {of.start is not None for of in resolve(plans[2])} == {True}
    (result,) = finished(bench, [plans[2]], tmp_path)
    assert result.variants[0].tokens_trained == 61_440


@pytest.mark.slow
def test_the_command_says_what_it_would_do_and_what_it_found(
    bench: Bench, constant: Any, natfp: Natfp, tmp_path: Path
) -> None:
    settings = {"corpus.name": f"text:{bench.corpus}", **BRIEF, "schedule.name": "constant"}
    settings.pop("budget.tokens")
    command = ["sweep", "--task", "seed_id", "-p", "smoke", "--over", "budget.tokens=x0.25,x0.5,x1", "--baseline", FEW]
    command += [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    command += ["--workers", "1", "--device", "cpu", "-o", str(tmp_path / "out")]
    code, out, _ = natfp(*command, "--dry-run", "--store", tmp_path / "empty")
    assert code == 0
    assert not (tmp_path / "empty").exists()
    assert "seed_id at preset smoke, 3 times" in out
    assert "saved: 184,320 tokens (43%)" in out
    code, out, err = natfp(*command, "--store", constant[0] / "store")
    assert code == 0, err
    assert out.count("\n  written to ") == 3
    assert "When the tokens double, the mean KL in bits per token rises by" in out
    assert len(list((tmp_path / "out").rglob("result.json"))) == 3
    code, out, _ = natfp("leaderboard", tmp_path / "out", "--trends", "--format", "md", "-o", tmp_path / "trends.md")
    assert code == 0
    text = (tmp_path / "trends.md").read_text()
    assert text.startswith("# Trends\n")
    assert "points of seed_id" in text
    code, out, _ = natfp("leaderboard", tmp_path / "out")
    assert "trend of seed_id: random seeds (smoke" in out
    assert "factors: how identifiable?" not in out, "points of a trend have no tables of their own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--over", "seeds.init=1,2"], "--over seeds.init=1,2: seed_id varies 'seeds.init' itself"),
        (["--over", "budget.tokens"], "--over budget.tokens: not of the form KEY=A,B"),
        (["--over", "model.width=1,2", "--over", "model.width=3,4"], "--over model.width is given twice"),
        (["--over", "model.width=x1,x2", "--device", "gpu"], "gpu"),
    ],
)
def test_bad_sweeps_are_named(natfp: Natfp, options: list[str], said: str) -> None:
    code, out, err = natfp("sweep", "--task", "seed_id", "-p", "smoke", "--dry-run", *options)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
