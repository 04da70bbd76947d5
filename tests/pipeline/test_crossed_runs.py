"""Crossed seeds as whole runs: what the result says, what happens without a model, and a run that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import BRIEF, Bench, gathered, task_file
from patience import PATIENCE
from report_sites import make, page
from scipy.special import logsumexp

from natfp_bench.attributors import registry
from natfp_bench.pipeline import assemble, crossed_study, wanted
from natfp_bench.pipeline.result_files import read
from natfp_bench.report.crossed_words import crossed_table
from natfp_bench.report.finding import finding

pytestmark = pytest.mark.slow

GRID = "factor:\n  name: two seeds\n  crossed: {seeds.init: [0, 1, 2], seeds.data_order: [0, 1, 2]}\n"

BASELINES = "majority,naive_bayes"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_file(tmp_path_factory.mktemp("crossed") / "tasks", "grid", GRID)


@pytest.fixture(scope="module")
def crossed(bench: Bench, tasks: Path) -> Any:
    """Evidence, result and folder of a crossing of three values each."""
    return gathered(bench, "grid", include=[tasks], overrides=BRIEF, baselines=BASELINES)


def test_a_crossing_is_divided_and_seen_from_each_seed(crossed: Any) -> None:
    _, result, _ = crossed
    assert result.failures == []
    assert [check.name for check in result.checks if check.name == "the crossing is whole"]
    found = result.study.crossed
    assert found.seeds == ("seeds.init", "seeds.data_order")
    whole = found.variance.whole
    assert [part.part for part in whole.parts] == ["seeds.init", "seeds.data_order", "interaction"]
    assert sum(part.share.value for part in whole.parts) == pytest.approx(1.0)
    assert {part.share.method for part in whole.parts} == {"none"}, "three values say nothing of others"
    assert sum(one.tokens for one in found.variance.by_type) == whole.tokens
    assert sum(one.tokens for one in found.variance.by_position) == whole.tokens
    for side, other in zip(found.sides, reversed(found.seeds), strict=True):
        assert (side.held_out, side.values) == ((other,), 3)
        assert side.accuracy.low < side.accuracy.value < side.accuracy.high
        assert side.accuracy.value == pytest.approx(np.mean(side.by_value))
        assert side.permuted.test.smallest == pytest.approx(1 / 36)
        assert 0 < side.likelihood.value < 1
    assert not [curve for curve in result.study.curves if curve.name == "classes"], "cells are not alike"


def test_the_likelihood_reference_knows_no_model_that_shares_the_other_seed(crossed: Any) -> None:
    """By hand: the mean of the likelihoods over the orders that the writer does not have, for each initialisation."""
    evidence, result, _ = crossed
    at = [(of.variant.settings.seeds.init, of.variant.settings.seeds.data_order) for of in evidence.kept]
    scores, source = evidence.log_likelihood(), evidence.texts.source
    by_order = []
    for order in range(3):
        rows = [row for row, writer in enumerate(source.tolist()) if at[writer][1] == order]
        known = [[at.index((init, other)) for other in range(3) if other != order] for init in range(3)]
        guess = [int(np.argmax([logsumexp(scores[row, some]) for some in known])) for row in rows]
        by_order.append(np.mean([at[source[row]][0] == one for row, one in zip(rows, guess, strict=True)]))
    assert result.study.crossed.sides[0].likelihood.value == pytest.approx(np.mean(by_order))


def test_without_one_of_its_models_nothing_is_said_of_single_seeds(crossed: Any) -> None:
    evidence = crossed[0]
    less = replace(evidence, kept=evidence.kept[:-1])
    assert crossed_study.crossed(less) is None
    assert "crossed" not in wanted.studies(less, registry.find("naive_bayes")[0])
    (check,) = assemble._whole_crossing(less)
    assert (check.ok, check.detail) == (False, "without init2-order2/r0, nothing is said of single seeds")


def test_a_result_and_its_page_say_what_was_found(
    bench: Bench, crossed: Any, tmp_path: Path, natfp: Callable[..., tuple[int, str, str]]
) -> None:
    _, result, folder = crossed
    said = finding(result)
    assert said.startswith("Two seeds: of the variance between models in the log-probability of a token, ")
    assert "naive_bayes names the initialisation with accuracy" in said
    assert "no interval" in said
    code, out, _ = natfp("show", folder, "--details")
    assert code == 0
    printed = " ".join(out.split())
    assert "which data order?" in printed
    assert "which seed the differences between models go with" in printed
    made = make([folder], bench.store, tmp_path / "site")
    shown = page(made, "task.html", "grid")
    figures = {figure.name: figure for figure in shown.figures}
    shares = [part.share.value for part in result.study.crossed.variance.whole.parts]
    assert [row["value"] for row in figures["crossed"].rows[:3]] == shares
    sides = result.study.crossed.sides
    expected = [value for side in sides for value in (side.accuracy.value, side.likelihood.value)]
    assert [row["value"] for row in figures["crossed-guesses"].rows] == expected
    html = (tmp_path / "site" / shown.path).read_text(encoding="utf-8")
    assert '<h2 id="crossed">Which seed does it?</h2>' in html
    assert "candidates" not in figures
    table = crossed_table(result.study)
    assert table is not None
    assert table.texts[0][0] == "all"


def test_a_crossing_that_is_killed_goes_on(bench: Bench, tasks: Path, crossed: Any, tmp_path: Path) -> None:
    settings = {"corpus.name": f"text:{bench.corpus}", **BRIEF}
    command = [sys.executable, "-m", "natfp_bench", "run", "--task", "grid", "--include-path", str(tasks)]
    command += ["-p", "smoke", "--baseline", BASELINES, "--workers", "1", "--device", "cpu"]
    command += [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    command += ["--store", str(tmp_path / "store"), "-o", str(tmp_path / "results")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "env": environment}
    process = subprocess.Popen(command, start_new_session=True, **options)
    deadline = time.monotonic() + PATIENCE
    # All models are there, and the studies have begun.
    while not list((tmp_path / "store" / "study").glob("*/*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "results").rglob("result.json"))
    assert subprocess.run(command, **options, check=False).returncode == 0
    (path,) = (tmp_path / "results").rglob("result.json")
    assert read(path).stable_json() == crossed[1].stable_json()
