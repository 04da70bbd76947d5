"""The metrics as a module of the library evaluate: loaded by path, offline, they are those of statistics.metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh_python import python

import natfp_bench
from natfp_bench.statistics import intervals, metrics

PROBA = np.random.default_rng(0).dirichlet(np.ones(3), size=60)
TRUTH = np.arange(60) % 3
PROMPTS = np.arange(60) // 4

USE = """
import json, sys
import evaluate
import natfp_bench

proba, truth, prompts = json.loads(sys.stdin.read())
path = natfp_bench.evaluate_module()
metric = evaluate.load(path)
found = {"plain": metric.compute(predictions=proba, references=truth)}
found["prompts"] = metric.compute(predictions=proba, references=truth, prompts=[f"p{p:02}" for p in prompts], seed=3)
for start in range(0, 60, 20):
    metric.add_batch(predictions=proba[start : start + 20], references=truth[start : start + 20])
found["batches"] = metric.compute()
found["combined"] = evaluate.combine([path]).compute(predictions=proba, references=truth, prompts=prompts, seed=3)
found["one text"] = metric.compute(predictions=proba[:1], references=truth[:1])
found["errors"] = []
for given in ([[0.5, 0.6]], [0]), ([[1.5, -0.5]], [0]), ([[0.5, 0.5]], [2]), ([[0.5, 0.5]], [-1]):
    try:
        metric.compute(predictions=given[0], references=given[1])
    except ValueError as error:
        found["errors"].append(str(error))
found["description"] = metric.description + metric.inputs_description
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the library computes, in a process of its own with empty caches and no network."""
    home = tmp_path_factory.mktemp("home")
    given = json.dumps([PROBA.tolist(), TRUTH.tolist(), PROMPTS.tolist()])
    said = python("-c", USE, given=given, folder=home, HF_HOME=str(home), HF_EVALUATE_OFFLINE="1")
    return dict(json.loads(said.splitlines()[-1]))


def expected(prompts: intervals.Ints, seed: int) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for name, interval in metrics.score(PROBA, TRUTH, prompts, seed).items():
        if name != "log_loss":
            values |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values


def test_values_are_those_of_the_metrics(found: dict[str, Any]) -> None:
    assert found["plain"] == expected(np.arange(60), 0)
    assert found["batches"] == found["plain"]
    assert set(found["plain"]) > {"accuracy", "identifiability", "bits", "macro_f1", "bits_low", "macro_f1_high"}


def test_prompts_are_the_units_and_combining_changes_nothing(found: dict[str, Any]) -> None:
    assert found["prompts"] == found["combined"] == expected(PROMPTS, 3)
    assert found["prompts"]["bits_low"] != found["plain"]["bits_low"]


def test_one_text_has_no_interval(found: dict[str, Any]) -> None:
    assert found["one text"]["bits_low"] is None


def test_what_is_no_answer_is_refused(found: dict[str, Any]) -> None:
    no_proba, negative, high, low = found["errors"]
    assert no_proba == negative
    assert no_proba.startswith("predictions must be probabilities")
    assert high == low
    assert "from 0 to 1" in high


def test_it_says_what_it_is(found: dict[str, Any]) -> None:
    for word in ("identifiability", "predictions", "references", "prompts", "balanced"):
        assert word in found["description"]


def test_each_import_has_a_line_and_none_is_relative() -> None:
    """The library scans these lines by pattern, and the file is imported from where it is copied to."""
    path = Path(natfp_bench.evaluate_module())
    assert path.parent == Path(natfp_bench.__file__).parent / "results"
    lines = [line for line in path.read_text().splitlines() if re.match(r"\s*(import|from)\s", line)]
    assert "from natfp_bench.statistics import metrics" in lines
    assert all(re.fullmatch(r"import \w+( as \w+)?|from [a-z_][\w.]* import \w+", line) for line in lines)
