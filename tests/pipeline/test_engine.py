"""The local engine, on real processes: order, limits, deaths, and who outlives whom."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from engine_jobs import (
    alive,
    die,
    double,
    eat,
    job,
    nap,
    own_id,
    resident,
    run,
    sees,
    together,
    warn_and_nap,
)
from patience import AGES, PATIENCE

from natfp_bench.attributors.registry import Limits
from natfp_bench.base.errors import AttributorError
from natfp_bench.pipeline import local_engine
from natfp_bench.pipeline.engine import Event, Job, Outcome
from natfp_bench.pipeline.local_engine import LocalEngine

ROOT = Path(__file__).parents[2]
SUPPORT = str(ROOT / "tests" / "support")


@pytest.fixture(scope="module")
def engine(local_engine: LocalEngine) -> LocalEngine:
    """One pool for all tests: that it survives each of them is part of what is tested."""
    return local_engine


@pytest.fixture(scope="module")
def one() -> Iterator[LocalEngine]:
    made = LocalEngine(1)
    yield made
    made.close()


def test_the_pool_is_reused(engine: LocalEngine) -> None:
    first, _ = run(engine, [job(own_id, n) for n in range(8)])
    second, _ = run(engine, [job(own_id, n) for n in range(8)])
    ids = {outcome.value for outcome in [*first.values(), *second.values()]}
    assert 1 <= len(ids) <= 2


def test_no_jobs_start_no_worker() -> None:
    engine = LocalEngine(2)
    run(engine, [])
    assert engine._pool == []


def test_one_worker_keeps_the_order(one: LocalEngine) -> None:
    _, events = run(one, [job(double, n) for n in (3, 1, 2)])
    assert [(event.kind, event.job.payload) for event in events] == [
        (kind, n) for n in (3, 1, 2) for kind in ("start", "end")
    ]


def test_jobs_run_side_by_side(engine: LocalEngine) -> None:
    run(engine, [job(nap, 0.0, "warm"), job(nap, 0.3, "both")])
    outcomes, _ = run(engine, [job(sees, 3.0, "a"), job(sees, 3.0, "b")])
    assert together(outcomes) == {frozenset("ab")}


def test_jobs_follow_behind_those_that_wait(one: LocalEngine) -> None:
    done: list[int] = []

    def follow(outcome: Outcome) -> list[Job]:
        done.append(outcome.value)
        return [job(double, outcome.value)] if outcome.value < 20 else []

    one.run([job(double, 1), job(double, 100)], lambda _: None, follow)
    assert done == [2, 200, 4, 8, 16, 32]


def test_jobs_of_one_name_have_deaths_of_their_own(one: LocalEngine, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    outcomes: list[Outcome] = []
    jobs = [job(die, (str(folder), 2, "SIGKILL"), "frail") for folder in folders]
    one.run(jobs, lambda _: None, lambda outcome: outcomes.append(outcome) or ())
    assert [outcome.value for outcome in outcomes] == ["alive", "alive"]


def test_a_worker_that_dies_idle_is_replaced(engine: LocalEngine) -> None:
    first, _ = run(engine, [job(own_id, n) for n in range(4)])
    killed = {outcome.value for outcome in first.values()}
    for process in killed:
        os.kill(process, signal.SIGKILL)
    second, _ = run(engine, [job(own_id, n) for n in range(4)])
    assert len(second) == 4
    assert killed.isdisjoint(outcome.value for outcome in second.values())


def test_a_worker_that_dies_idle_while_another_works(engine: LocalEngine) -> None:
    run(engine, [job(nap, 0.2, "a"), job(nap, 0.2, "b")])
    killed: list[int] = []

    def watch(event: Event) -> None:
        if event.kind == "end" and event.job.name == "short":
            idle = next(worker for worker in engine._pool if worker.attempt is None)
            killed.append(idle.process.pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    values = []
    engine.run(
        [job(nap, 1.0, "long"), job(nap, 0.0, "short")], watch, lambda outcome: values.append(outcome.error) or ()
    )
    assert values == [None, None]
    assert killed
    assert killed[0] not in {worker.process.pid for worker in engine._pool}


def limited(function: Callable[..., Any], payload: Any, seconds: float = AGES, memory_mb: int = 1 << 20) -> Job:
    return replace(job(function, payload, "greedy"), limits=Limits(seconds=seconds, memory_mb=memory_mb))


def test_a_job_beyond_its_time_is_stopped_and_not_tried_again(engine: LocalEngine) -> None:
    first, _ = run(engine, [job(own_id, n) for n in range(4)])
    outcomes, events = run(engine, [limited(nap, AGES, seconds=1.0), job(double, 1, "good"), job(nap, 2.0, "beside")])
    assert type(outcomes["greedy"].error) is AttributorError
    assert re.fullmatch(r"greedy: stopped after \d+\.\d s: its card allows 1 s", str(outcomes["greedy"].error))
    assert outcomes["good"].value == 2
    assert outcomes["beside"].error is None, "a job without limits takes its time"
    assert [event.kind for event in events if event.job.name == "greedy"] == ["start", "end"]
    after, _ = run(engine, [job(own_id, n) for n in range(4)])
    assert len({outcome.value for outcome in after.values()} - {outcome.value for outcome in first.values()}) >= 1


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_job_beyond_its_memory_is_stopped_with_all_that_it_started(one: LocalEngine, *, elsewhere: bool) -> None:
    base = run(one, [job(resident, 0)])[0]["resident 0"].value
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    outcomes, _ = run(one, [limited(eat, (700, elsewhere), memory_mb=base + 200)])
    assert type(outcomes["greedy"].error) is AttributorError
    said = re.fullmatch(r"greedy: stopped at (\d+) MB: its card allows (\d+) MB", str(outcomes["greedy"].error))
    assert said
    assert int(said[1]) > int(said[2]) == base + 200
    started = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert alive(started) == []
    assert run(one, [job(double, 3)])[0]["double 3"].value == 6


def test_a_job_within_its_limits_keeps_its_worker_and_its_value(one: LocalEngine) -> None:
    ids = [run(one, [limited(own_id, n)])[0]["greedy"].value for n in range(2)]
    assert ids[0] == ids[1] == run(one, [job(own_id, 0)])[0]["own_id 0"].value


def test_the_clock_starts_with_the_call_and_a_value_that_waits_counts(one: LocalEngine) -> None:
    one.close()  # a fresh worker takes its time to come up, and this one is limited to less

    def watch(event: Event) -> None:
        if event.kind == "warning":
            time.sleep(4.0)  # the parent looks elsewhere until long after the value has come

    outcomes: list[Outcome] = []
    one.run([limited(warn_and_nap, 0.2, seconds=3.0)], watch, lambda outcome: outcomes.append(outcome) or ())
    assert [(outcome.value, outcome.error) for outcome in outcomes] == [("done", None)]


def test_a_death_within_limits_is_tried_again(one: LocalEngine, tmp_path: Path) -> None:
    outcomes, _ = run(one, [limited(die, (str(tmp_path), 1, "SIGKILL"))])
    assert outcomes["greedy"].value == "alive"


@pytest.mark.parametrize("where", ["watch", "follow"])
def test_an_exception_of_the_caller_stops_all(where: str) -> None:
    engine = LocalEngine(2)

    def stop(_: Any) -> Any:
        raise KeyboardInterrupt

    jobs = [job(double, 1), job(nap, AGES)]
    clock = time.monotonic()
    watch, follow = (stop, lambda _: ()) if where == "watch" else (lambda _: None, stop)
    with pytest.raises(KeyboardInterrupt):
        engine.run(jobs, watch, follow)
    assert time.monotonic() - clock < AGES
    assert engine._pool == []
    assert run(engine, [job(double, 4)])[0]["double 4"].value == 8, "it can be used again"
    engine.close()
    engine.close()


# A whole program that uses the engine. It has no `__main__` guard, as most scripts.
PROGRAM = """
    import sys
    from pathlib import Path
    from natfp_bench.pipeline.engine import Job
    from natfp_bench.pipeline.local_engine import LocalEngine
    sys.path.insert(0, {tests!r})
    print("started", flush=True)
    engine = LocalEngine(2)
    jobs = [Job(str(n), "", "engine_jobs:double", 21) for n in range(2)]
    engine.run(jobs, lambda event: None, lambda outcome: print(outcome.value, outcome.error or "", flush=True) or ())
    engine.close()
"""


def program(path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a program that a file holds; it has no more time than a test has patience."""
    path.write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )


@pytest.mark.slow
def test_a_script_without_a_guard_starts_once(tmp_path: Path) -> None:
    done = program(tmp_path / "script.py", PROGRAM.format(tests=SUPPORT))
    assert (done.returncode, done.stdout.split()) == (0, ["started", "42", "42"])


# Stands for the heavy libraries, and never ends.
SLOW = f"""
import os, time
open({{mark!r}}, "a").write(str(os.getpid()))
time.sleep({AGES})
"""


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_whose_parent_dies_while_it_imports_ends_with_it(tmp_path: Path, which: signal.Signals) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "transformers.py").write_text(SLOW.format(mark=str(mark)))
    (tmp_path / "script.py").write_text(textwrap.dedent(PROGRAM.format(tests=SUPPORT)))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py")], env=environment)
    deadline = time.monotonic() + PATIENCE
    while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    server = psutil.Process(int(mark.read_text()))
    parent.send_signal(which)
    parent.wait()
    assert alive([server]) == []


LOST_SERVER = """
    import os, signal, sys
    from multiprocessing import forkserver
    from natfp_bench.pipeline.engine import Job
    from natfp_bench.pipeline.local_engine import LocalEngine
    sys.path.insert(0, {tests!r})
    connect, left = forkserver.connect_to_new_process, [{times}]

    def connect_and_kill(fds):
        if not left[0]:
            return connect(fds)
        left[0] -= 1
        forkserver.ensure_running()
        server = forkserver._forkserver._forkserver_pid
        os.kill(server, signal.SIGSTOP)
        try:
            return connect(fds)
        finally:
            os.kill(server, signal.SIGKILL)

    forkserver.connect_to_new_process = connect_and_kill
    engine = LocalEngine(1)
    engine.run([Job("it", "", "engine_jobs:double", 21)], lambda _: None, lambda outcome: print(outcome.value) or ())
    engine.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("times", "said"), [(2, "42"), (100, "no worker process can be started")])
def test_a_server_that_is_killed_while_it_starts_a_worker_is_replaced(tmp_path: Path, times: int, said: str) -> None:
    done = program(tmp_path / "script.py", LOST_SERVER.format(tests=SUPPORT, times=times))
    assert said in (done.stderr if times > 2 else done.stdout)
    assert (done.returncode == 0) == (times == 2)


@pytest.mark.slow
def test_a_stopped_worker_does_not_keep_close_waiting() -> None:
    own = LocalEngine(1)
    first, _ = run(own, [job(own_id, 0)])
    os.kill(first["own_id 0"].value, signal.SIGSTOP)
    clock = time.monotonic()
    own.close()
    assert time.monotonic() - clock < local_engine.GRACE_SECONDS + PATIENCE
    assert not psutil.pid_exists(first["own_id 0"].value)
