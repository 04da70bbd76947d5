"""The negative controls, over fixed seeds: no attributor beats chance, and a planted difference is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from scipy.stats import binomtest

from natfp_bench import api
from natfp_bench.attributors.registry import find
from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store
from natfp_bench.plan.make_plan import make_plan

pytestmark = pytest.mark.slow

SEEDS = {"null_id": range(5), "null_run_id": range(3), "tempered_id": range(2)}
"""Seeds of each control: a rerun takes four trainings, and another temperature is plain to see."""

Results = Callable[[str], list[Result]]

TEMPERED = """
task: tempered_id
version: 1
summary: Like null_id, but one variant is sampled at another temperature.
tags: [control]
control: negative
factor:
  name: sampling stream and temperature
  fields: [sampling.stream, sampling.temperature]
  levels:
    stream0: {sampling.stream: 0, sampling.temperature: 1.0}
    stream1: {sampling.stream: 1, sampling.temperature: 1.0}
    stream2: {sampling.stream: 2, sampling.temperature: 1.0}
    stream3: {sampling.stream: 3, sampling.temperature: 0.7}
replicates: 1
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """Runs a control at the smoke preset, once per seed, when a test first asks for it; all in one store."""
    folder = tmp_path_factory.mktemp("controls")
    (folder / "tempered_id.yaml").write_text(TEMPERED)
    store, engine = Store(folder / "store"), api.local_engine(None)
    yield cache(lambda task: [_run(task, seed, folder, store, engine) for seed in SEEDS[task]])
    engine.close()


NAMES = ("majority", "unigram", "char_ngram", "naive_bayes", "ngram_lm")


def _run(task: str, seed: int, folder: Path, store: Store, engine: api.Engine) -> Result:
    # Texts enough that a difference in temperature cannot hide.
    overrides = {"sampling.texts": "800", "analysis.transfer": "false", "corpus.heldout_documents": "20"}
    plan = make_plan(task, "smoke", seed=seed, include=[folder], overrides=overrides)
    return run_plan(
        plan,
        find(",".join(NAMES)),
        store=store,
        engine=engine,
        output=folder / "out",
    )[0]


def pooled_p(results: list[Result], attributor: str) -> float:
    """Two-sided exact p-value of an attributor's hits over all seeds against chance."""
    scores = [score for result in results for score in result.scores if score.attributor.name == attributor]
    assert len(scores) == len(results)
    texts = sum(score.n_test for score in scores)
    hits = sum(round(score.metrics["accuracy"].value * score.n_test) for score in scores)
    return float(binomtest(hits, texts, scores[0].chance).pvalue)


@pytest.mark.parametrize("task", ["null_id", "null_run_id"])
def test_nobody_tells_a_null_apart(results: Results, task: str) -> None:
    for attributor in NAMES:
        assert pooled_p(results(task), attributor) > 1e-3
    for result in results(task):
        (ceiling,) = (score for score in result.scores if score.attributor.name == "ceiling")
        assert ceiling.metrics["accuracy"].value == ceiling.chance == 0.25
        assert ceiling.metrics["bits"].value == 0.0
        assert result.likelihood[0].mutual_information.value == 0.0
        assert all(failure.startswith("check ") for failure in result.failures)
    # A check of one attributor in one run fails by luck one time in a thousand, and there are 25 of them at most.
    failed = {
        (result.seed, check.name.split()[0]) for result in results(task) for check in result.checks if not check.ok
    }
    assert len(failed) <= 1, failed


def test_the_same_check_fails_when_one_variant_is_sampled_at_another_temperature(results: Results) -> None:
    assert pooled_p(results("tempered_id"), "char_ngram") < 1e-3
    assert pooled_p(results("tempered_id"), "unigram") < 1e-3
    assert pooled_p(results("tempered_id"), "naive_bayes") < 1e-3
    for result in results("tempered_id"):
        failed = {check.name for check in result.checks if not check.ok}
        assert "ceiling is at chance (level)" in failed


def test_reruns_are_really_done_and_end_with_the_same_weights(results: Results) -> None:
    for result in results("null_run_id"):
        assert len({variant.key for variant in result.variants}) == 4
        assert len({variant.weights for variant in result.variants}) == 1
    assert len({variant.weights for result in results("null_run_id") for variant in result.variants}) == len(
        SEEDS["null_run_id"]
    )
