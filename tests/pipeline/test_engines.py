"""What every engine keeps, on real processes: values, news, faults, and jobs whose worker dies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_jobs import chatter, die, double, fail, fail_spec, job, own_id, report, run, speak

from natfp_bench.base.errors import AttributorError, JobError, NatfpError, SpecError, StoreError, UserError
from natfp_bench.pipeline import job_output
from natfp_bench.pipeline.engine import Engine, Job


@pytest.fixture(scope="module", params=["local_engine", pytest.param("ray_engine", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Any:
    """One engine for all tests: that it survives each of them is part of what is tested."""
    return request.getfixturevalue(request.param)


def test_values_and_news_come_back(engine: Engine) -> None:
    jobs = [*(job(double, n) for n in range(5)), job(report, 50_000, "talk"), job(own_id, 0)]
    outcomes, events = run(engine, jobs)
    assert [outcomes[f"double {n}"].value for n in range(5)] == [0, 2, 4, 6, 8]
    assert all(outcome.error is None for outcome in outcomes.values())
    assert os.getpid() != outcomes["own_id 0"].value
    for name in outcomes:
        kinds = [event.kind for event in events if event.job.name == name]
        assert (kinds[0], kinds[-1]) == ("start", "end")
        assert (kinds.count("start"), kinds.count("end")) == (1, 1)
    assert [event.text for event in events if event.kind == "warning"] == ["mind the gap"]
    progress = [event for event in events if event.kind == "progress"]
    assert (progress[-1].done, progress[-1].total, progress[-1].text) == (50_000, 50_000, "steps")
    assert [event.done for event in progress] == sorted(event.done for event in progress)
    assert len(progress) < 50, "no more often than a person can read"


@pytest.mark.parametrize("kind", [UserError, StoreError, AttributorError])
def test_errors_keep_their_kind(engine: Engine, kind: type[NatfpError]) -> None:
    outcomes, _ = run(engine, [job(fail, kind("what\n  mend"), "bad"), job(double, 1, "good")])
    error = outcomes["bad"].error
    assert type(error) is kind
    assert str(error) == "what\n  mend"
    assert outcomes["good"].value == 2


def test_faults_and_bugs_come_back_whole(engine: Engine) -> None:
    jobs = [job(fail_spec, ["a.yaml:1: x", "a.yaml:2: y"], "spec"), job(fail, ZeroDivisionError("by zero"), "bug")]
    outcomes, _ = run(engine, [*jobs, Job("lost", "stage", "nowhere:f", None)])
    spec, bug = outcomes["spec"].error, outcomes["bug"].error
    assert isinstance(spec, SpecError)
    assert spec.faults == ("a.yaml:1: x", "a.yaml:2: y")
    assert type(bug) is JobError
    assert str(bug) == "bug: ZeroDivisionError: by zero"
    [note] = bug.__notes__
    assert "Traceback" in note
    assert "raise payload" in note
    assert "ModuleNotFoundError" in str(outcomes["lost"].error)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "exit"])
def test_a_job_whose_worker_dies_goes_on_in_another(engine: Engine, tmp_path: Path, how: str) -> None:
    outcomes, events = run(engine, [job(die, (str(tmp_path), 2, how), "frail"), job(double, 1, "good")])
    assert outcomes["frail"].value == "alive"
    assert outcomes["good"].value == 2
    warnings = [event.text for event in events if event.kind == "warning"]
    said = "died (exit code 7)" if how == "exit" else f"was killed ({how}"
    assert len(warnings) == 2
    assert all(said in text and "frail goes on" in text for text in warnings)
    kinds = [event.kind for event in events if event.job.name == "frail"]
    assert (kinds.count("start"), kinds.count("end")) == (3, 1)


def test_three_deaths_are_the_jobs_fault(engine: Engine, tmp_path: Path) -> None:
    outcomes, _ = run(engine, [job(die, (str(tmp_path), 9, "SIGKILL"), "frail"), job(double, 1, "good")])
    assert type(outcomes["frail"].error) is JobError
    assert "was killed (SIGKILL, out of memory?), 3 times" in str(outcomes["frail"].error)
    assert len(list(tmp_path.iterdir())) == 3
    assert outcomes["good"].value == 2


WAYS = ["python", "python's errors", "descriptor", "c", "child"]


@pytest.mark.parametrize("end", ["ends", "fails", "dies"])
@pytest.mark.parametrize("way", WAYS)
def test_what_a_job_prints_goes_to_its_log_alone(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str], way: str, end: str
) -> None:
    if (way, end) == ("c", "dies"):
        pytest.skip("what a library in C holds back dies with the process")
    loud, silent = job(speak, (way, end), "odd \x1b/name"), job(speak, ("nothing", "ends"), "silent")
    outcomes, _ = run(engine, [replace(one, logs=str(tmp_path / "logs")) for one in (loud, silent)])
    log = outcomes[loud.name].log
    assert log is not None
    shown = log.read_text(encoding="utf-8")
    assert shown.startswith("\\x1b[31mnaïve")
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert outcomes["silent"].log is None
    # A worker that dies is followed by others, and each try has a log.
    assert len(list((tmp_path / "logs").iterdir())) == (3 if end == "dies" else 1)
    assert capfd.readouterr() == ("", "")


def test_a_log_keeps_the_end_of_a_long_output(engine: Engine, tmp_path: Path) -> None:
    outcomes, _ = run(engine, [replace(job(chatter, job_output.MOST), logs=str(tmp_path))])
    [outcome] = outcomes.values()
    assert outcome.log is not None
    assert outcome.log.stat().st_size == job_output.MOST
    assert outcome.log.read_text(encoding="utf-8").endswith("the end\n")


def test_a_log_that_cannot_be_written_spoils_no_job(engine: Engine) -> None:
    outcomes, _ = run(engine, [replace(job(speak, ("python", "ends"), "loud"), logs="/dev/null/logs")])
    assert (outcomes["loud"].value, outcomes["loud"].log) == ("done", None)
