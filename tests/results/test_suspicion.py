"""Scores that only cheats reach: on planted answers, and by classifiers that look labels up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_baselines import write

from natfp_bench.attributors import registry, sandbox
from natfp_bench.pipeline.local_engine import LocalEngine
from natfp_bench.pipeline.store import Store
from natfp_bench.results import submission, suspicion
from natfp_bench.results.suspicion import Comparison

LOOKUP = """
    import numpy as np
    import pyarrow.parquet as pq
    from natfp_bench.base import resources
    from natfp_bench.pipeline.bundled_texts import read_manifest

    class Lookup:
        \"\"\"Knows the source of every public text, and the label of every source from its training texts.\"\"\"

        def fit(self, texts, labels):
            self.classes_ = np.unique(labels)
            try:
                table = pq.read_table(resources.fixed_texts() / "texts.parquet", columns=["source", "text"])
            except OSError:
                self.source, self.label = {}, {}
                return self
            self.source = dict(zip(table["text"].to_pylist(), table["source"].to_pylist()))
            self.label = {}
            for text, label in zip(texts, labels):
                self.label.setdefault(self.source.get(text), label)
            return self

        def predict_proba(self, texts):
            found = np.full((len(texts), len(self.classes_)), 0.001)
            for row, text in enumerate(texts):
                label = self.label.get(self.source.get(text))
                if label is None:
                    found[row] = 1.0
                else:
                    found[row, list(self.classes_).index(label)] = 1.0
            return found / found.sum(axis=1, keepdims=True)

    def build(seed):
        return Lookup()
"""


def comparison(task: str, own: Any, best: Any, first: int = 0) -> Comparison:
    texts = tuple(f"text {number}" for number in range(first, first + len(own)))
    return Comparison(task, "level, unseen_prompt", np.asarray(own, float), np.asarray(best, float), texts)


def said(compared: list[Comparison], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(suspicion, "_comparisons", lambda name, result, folder: iter([result]))
    monkeypatch.setattr(suspicion, "_controls", lambda name, results: iter([]))
    return suspicion.suspicions("mine", [(one, Path()) for one in compared])  # type: ignore[misc]


def test_honest_classifiers_are_hardly_ever_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """They know what the ceiling knows, and guess at random where it is undecided: the worst honest case."""
    draw, suspected = np.random.default_rng(0), 0
    for _ in range(300):
        compared = []
        for task in range(8):
            sure = draw.random(400) < 0.7
            truth, best, own = draw.integers(0, 2, (3, 400))
            compared.append(comparison(f"task {task}", sure | (own == truth), sure | (best == truth), 400 * (task % 3)))
        suspected += bool(said(compared, monkeypatch))
    assert suspected <= 3


@pytest.mark.parametrize("tasks", [1, 8])
def test_whoever_knows_more_than_can_be_known_is_suspected(monkeypatch: pytest.MonkeyPatch, tasks: int) -> None:
    draw = np.random.default_rng(1)
    compared = [comparison(f"task {task}", np.ones(400), draw.random(400) < 0.95, 400 * task) for task in range(tasks)]
    found = said(compared, monkeypatch)
    assert any(line.startswith("task 0: accuracy +0.0") for line in found)
    assert any(line.startswith("all tasks: ") for line in found) == (tasks > 1)


def test_a_little_in_many_tasks_is_found_in_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(2)
    compared = []
    for task in range(12):
        right = draw.random(400)
        compared.append(comparison(f"task {task}", right < 0.992, right < 0.982, 400 * task))
    assert [line.split(":")[0] for line in said(compared, monkeypatch)] == ["all tasks"]


def test_one_text_in_many_tasks_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Luck on one text is luck in all tasks that share it."""
    best, own = np.ones(400), np.ones(400)
    best[:4] = 0
    compared = [comparison(f"task {task}", own, best) for task in range(20)]
    assert said(compared, monkeypatch) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        "off",
        pytest.param("on", marks=pytest.mark.skipif(sandbox.missing() is not None, reason="no sandbox")),
    ],
)
def test_a_classifier_that_looks_texts_up(tmp_path: Path, mode: str) -> None:
    """Without a sandbox it is found out by its scores; with one it finds no text."""
    lookup = registry.read(write(tmp_path, LOOKUP))
    engine = LocalEngine(2)
    try:
        found = submission.score_on_fixed_texts(
            lookup,
            ["seed_id", "lr_id", "init_seed_id", "dropout_seed_id", "null_id"],
            Store(tmp_path / "store"),
            engine,
            tmp_path / "results",
            lambda _: None,
            mode,
        )
    finally:
        engine.close()
    accuracy = {
        result.task.name: max(s.metrics["accuracy"].value for s in result.scores if s.attributor.name == "mine")
        for result, _ in found
    }
    suspected = suspicion.suspicions("mine", found)
    if mode == "on":
        assert max(accuracy.values()) < 0.5
        assert suspected == []
    else:
        assert accuracy["seed_id"] > 0.98
        assert any("above the ceiling" in line for line in suspected)
        assert any("null_id" in line and "only chance can be right" in line for line in suspected)
