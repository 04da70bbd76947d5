"""Whole runs at the smallest preset: what is made, what is made only once, what a fault takes with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from natfp_bench import metrics, results
from natfp_bench.errors import UserError
from natfp_bench.store import Store

if TYPE_CHECKING:
    from conftest import Bench

BASELINE = """
import os
import numpy as np
class Odd:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        return self
    def predict_proba(self, texts):
        return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))
    {fault}
def build(seed):
    return Odd()
"""


LEAN = {"analysis.transfer": "false"}
"""What a test overrides that needs no texts drawn in other ways."""


def plant(folder: Path, name: str, code: str) -> str:
    """Write a baseline's folder; returns its path, as `--baseline` takes it."""
    made = folder / name
    made.mkdir()
    (made / "baseline.py").write_text(code)
    card = f"name: {name}\nversion: '1'\nauthors: [a]\nsummary: s\nlicence: Apache-2.0\ncost: fast\n"
    (made / "card.yaml").write_text(card)
    return str(made)


def task_file(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(f"task: {name}\nversion: 1\nsummary: s\nreplicates: 1\n{text}")
    return folder


def scores(result: results.Result, target: str = "level") -> dict[str, results.Score]:
    return {score.attributor.name: score for score in result.scores if score.target == target}


def files(store: Path, kind: str, result: results.Result) -> list[Path]:
    """Files of the entries of one kind that a result rests on."""
    keys = json.loads((store / "runs" / f"{result.run.id}.json").read_text())["keys"]
    return sorted(path for key in keys for path in (store / kind / key[:2] / key).glob("*"))


def differing(variants: list[results.VariantResult]) -> set[tuple[str, str]]:
    """Section and name of the settings, as result.json tells them, in which variants are not all alike."""
    found = set()
    for section, content in variants[0].settings.items():
        for name in content if isinstance(content, dict) else [""]:
            values = [v.settings[section][name] if name else v.settings[section] for v in variants]
            if any(value != values[0] for value in values):
                found.add((section, name))
    return found


def test_a_run_is_sound(seed_run: Any) -> None:
    result, folder = seed_run
    assert result.failures == []
    assert folder.parts[-3:] == ("seed_id", "smoke", result.run.id)
    assert {path.name for path in folder.iterdir()} == {"result.json", "predictions.parquet"}
    assert [variant.name for variant in result.variants] == [f"seed{i}/r0" for i in range(4)]
    assert len({variant.weights for variant in result.variants}) == 4
    assert len({variant.training_multiset for variant in result.variants}) == 1
    assert differing(list(result.variants)) == {("seeds", name) for name in ("init", "data_order", "dropout")}
    found = scores(result)
    assert set(found) == {"char_ngram", "majority", "naive_bayes", "unigram", "ceiling"}
    assert found["majority"].metrics["accuracy"].value == pytest.approx(0.25)
    assert found["ceiling"].metrics["accuracy"].value > 0.5
    assert found["ceiling"].log10_p is not None
    assert found["ceiling"].log10_p < -6
    assert {score.n_test for score in result.scores} == {4 * 50}
    assert {score.n_train for score in result.scores} == {4 * 150, None}
    for variant in result.variants:
        assert variant.tokens_trained == 61_440
        assert variant.heldout_bits_per_byte is not None
        assert 0.5 < variant.heldout_bits_per_byte.value < 4
    assert result.run.seconds["total"] > 0
    assert result.run.seconds["train"] > 0
    assert set(result.run.attributors) == {f"level/{name}" for name in found if name != "ceiling"}


def test_a_second_run_makes_nothing_and_starts_no_worker(bench: Bench, seed_run: Any) -> None:
    bench.engine.close()
    again, folder = bench.run("seed_id")
    assert bench.started() == []
    assert bench.engine._pool == []
    assert again.stable_json() == seed_run[0].stable_json()
    assert again.run.id != seed_run[0].run.id
    assert set(again.run.seconds) == {"total"}
    assert (folder / "predictions.parquet").read_bytes() == (seed_run[1] / "predictions.parquet").read_bytes()


def test_a_further_baseline_trains_nothing(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    name = plant(tmp_path, "even", BASELINE.format(fault=""))
    result, _ = bench.run("seed_id", baselines=f"majority,{name}")
    assert bench.started() == ["attribute level by even"]
    assert result.protocol_digest == seed_run[0].protocol_digest
    assert scores(result)["even"].metrics["bits"].value == 0.0


def test_an_edited_baseline_is_fitted_again(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    name = plant(tmp_path, "even", BASELINE.format(fault="sharp = 1"))
    bench.run("seed_id", baselines=name)
    (tmp_path / "even" / "baseline.py").write_text(BASELINE.format(fault="sharp = 2"))
    bench.run("seed_id", baselines=name)
    assert bench.started() == ["attribute level by even"]


def test_a_limit_is_a_prefix(bench: Bench, seed_run: Any) -> None:
    whole, folder = seed_run
    result, limited = bench.run("seed_id", limit=80, overrides=LEAN)
    assert not any(name.startswith(("train", "sample", "prepare")) for name in bench.started())
    assert result.samples is not None
    assert result.samples.per_variant == 80
    assert result.protocol_digest != whole.protocol_digest
    columns = ["variant", "row", "prompt", "label", "proba"]
    short, long = (
        pq.read_table(path / "predictions.parquet", filters=[("attributor", "==", "ceiling")], columns=columns)
        for path in (limited, folder)
    )
    rows = [row for row in long.to_pylist() if row["row"] < 80]
    assert len(rows) == 80
    for one, other in zip(short.to_pylist(), rows, strict=True):
        assert one["proba"] == pytest.approx(other["proba"], abs=1e-3)
        assert (one["variant"], one["row"], one["label"]) == (other["variant"], other["row"], other["label"])


def test_predictions_agree_with_the_scores(seed_run: Any) -> None:
    result, folder = seed_run
    table = pq.read_table(folder / "predictions.parquet").to_pylist()
    names = {"variant", "row", "prompt", "fold", "split", "target", "attributor", "label", "proba"}
    assert set(table[0]) == names
    assert {(row["split"], row["fold"], row["target"]) for row in table} == {("unseen_prompt", 0, "level")}
    for score in result.scores:
        rows = [row for row in table if row["attributor"] == score.attributor.name]
        assert len(rows) == score.n_test
        proba = np.array([row["proba"] for row in rows])
        truth = np.array([score.classes.index(row["label"]) for row in rows])
        assert all(row["variant"] == f"{row['label']}/r0" for row in rows)
        assert {row["prompt"] % 4 for row in rows} == {3}
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        assert metrics.credits(proba, truth).mean() == pytest.approx(score.metrics["accuracy"].value)
        assert np.array(score.confusion).sum(axis=1).tolist() == pytest.approx(np.bincount(truth).tolist())
        assert np.trace(np.array(score.confusion)) / len(truth) == pytest.approx(score.metrics["accuracy"].value)


def test_ranks_are_of_text_attributors_that_ran(seed_run: Any) -> None:
    found = scores(seed_run[0])
    assert found["ceiling"].rank is None
    ranks = {name: score.rank for name, score in found.items() if name != "ceiling"}
    assert min(ranks.values()) == 1
    assert ranks["majority"] >= max(ranks["unigram"], ranks["char_ngram"])


def test_the_ceiling_bounds_and_its_promises_hold(seed_run: Any) -> None:
    result = seed_run[0]
    checks = {check.name: check.ok for check in result.checks}
    assert checks["likelihood and sampler agree (level)"]
    assert {name for name in checks if "not above the ceiling" in name} == {
        f"{name} is not above the ceiling (level)" for name in ("char_ngram", "majority", "naive_bayes", "unigram")
    }
    [likelihood] = result.likelihood
    bits = scores(result)["ceiling"].metrics["bits"]
    assert likelihood.mutual_information.value == pytest.approx(bits.value, abs=0.05)
    assert [row[i].value for i, row in enumerate(result.mean_kl.divergence)] == [0.0] * 4
    assert all(
        cell.value > 0 for i, row in enumerate(result.mean_kl.divergence) for j, cell in enumerate(row) if i != j
    )


def test_null_id_is_at_chance_exactly(bench: Bench) -> None:
    result, _ = bench.run("null_id", overrides=LEAN)
    ceiling = scores(result)["ceiling"]
    assert ceiling.metrics["accuracy"].value == ceiling.chance == 0.25
    assert ceiling.metrics["bits"].value == 0.0
    assert result.likelihood[0].mutual_information.value == 0.0
    assert len({variant.weights for variant in result.variants}) == 1
    assert len({variant.key for variant in result.variants}) == 1
    assert len([name for name in bench.started() if name.startswith("train")]) <= 1
    checks = {check.name: check.ok for check in result.checks}
    assert checks["ceiling is at chance (level)"]
    assert checks["unigram is at chance (level)"]
    assert differing(list(result.variants)) == {("sampling", "stream")}


@pytest.mark.slow
def test_null_run_id_is_trained_again_and_the_same(bench: Bench) -> None:
    result, _ = bench.run("null_run_id")
    # The first may be found: it is the run of that recipe, and no rerun.
    assert {f"train run{i}/r0" for i in (1, 2, 3)} <= set(bench.started())
    assert len({variant.key for variant in result.variants}) == 4
    assert len({variant.weights for variant in result.variants}) == 1
    ceiling = scores(result)["ceiling"]
    assert ceiling.metrics["accuracy"].value == ceiling.chance == 0.25
    assert ceiling.metrics["bits"].value == 0.0
    checks = {check.name: check.ok for check in result.checks}
    assert checks["reruns repeat exactly"]
    assert result.failures == []


COOLER = """
control: negative
factor:
  name: sampling stream, and a temperature that no control may have
  fields: [sampling.stream, sampling.temperature]
  levels:
    stream0: {sampling.stream: 0, sampling.temperature: 1.0}
    stream1: {sampling.stream: 1, sampling.temperature: 1.0}
    cooler: {sampling.stream: 2, sampling.temperature: 0.7}
"""


def test_a_control_that_leaks_fails_its_check(bench: Bench, tmp_path: Path) -> None:
    folder = task_file(tmp_path / "tasks", "leaking", COOLER)
    result, _ = bench.run("leaking", include=[folder], overrides=LEAN)
    ceiling = scores(result)["ceiling"]
    assert ceiling.log10_p is not None
    assert ceiling.log10_p < -6
    assert result.likelihood[0].mutual_information.low > 0.1
    failed = {check.name for check in result.checks if not check.ok}
    assert "ceiling is at chance (level)" in failed
    assert any("ceiling is at chance" in failure for failure in result.failures)
    # The two streams at temperature 1 share their credit: only the cooler one stands apart.
    confusion = np.array(ceiling.confusion)
    assert confusion[1:, 1].tolist() == pytest.approx(confusion[1:, 2].tolist())


@pytest.mark.slow
@pytest.mark.parametrize(("task", "seed"), [("init_seed_id", "init"), ("data_order_id", "data_order")])
def test_one_seed_varies_and_the_data_are_the_same(bench: Bench, task: str, seed: str) -> None:
    result, folder = bench.run(task)
    variants = json.loads((folder / "result.json").read_text())["variants"]
    assert len(variants) == 6
    for replicate in (0, 1):
        block = [variant for variant in result.variants if variant.replicate == replicate]
        assert differing(block) == {("seeds", seed)}
        assert {variant.settings["seeds"][seed] for variant in block} == {0, 1, 2}
    for level in {variant.level for variant in result.variants}:
        pair = [variant for variant in result.variants if variant.level == level]
        assert differing(pair) == {("seeds", name) for name in ("init", "data_order", "dropout") if name != seed}
    assert len({variant["training_multiset"] for variant in variants}) == 1
    assert len({variant["weights"] for variant in variants}) == 6
    assert {score.target for score in result.scores} == {"level", "instance"}
    assert {len(score.classes) for score in result.scores if score.target == "instance"} == {6}
    ceilings = {target: scores(result, target)["ceiling"].metrics["accuracy"].value for target in ("level", "instance")}
    assert ceilings["level"] >= ceilings["instance"] > 1 / 6
    assert result.failures == []


def test_a_factor_that_shapes_the_blocks_prepares_several_corpora(bench: Bench, tmp_path: Path) -> None:
    text = "factor:\n  name: context\n  fields: [model.context]\n  levels: {short: 32, long: 48}\n"
    plan = bench.plan("context", include=[task_file(tmp_path / "tasks", "context", text)])
    from natfp_bench.pipeline import Run, resolve_keys

    run = Run(plan, [], Store(bench.store), bench.engine, "cpu", lambda _: None)
    steps = run._corpus_steps(resolve_keys(plan))
    assert len({step.job.name for step in steps}) == 2


def test_a_run_keeps_what_it_rests_on_from_gc(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    shutil.rmtree(store.root)
    shutil.copytree(bench.store, store.root)
    for path in (store.root / "runs").glob("*.json"):
        if path.stem != seed_run[0].run.id:
            path.unlink()
    store.gc(older_than_days=0, dry_run=False)
    again, _ = bench.run("seed_id", store=store.root)
    assert bench.started() == []
    assert again.stable_json() == seed_run[0].stable_json()
    assert len(list((store.root / "model").glob("*/*"))) == 4


def test_the_api_runs_and_warns(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    import natfp_bench

    store = tmp_path / "store"
    shutil.copytree(bench.store, store)
    settings = {"corpus.name": f"text:{bench.corpus}"}

    def run() -> results.Result:
        output = tmp_path / "results"
        return natfp_bench.run(
            "seed_id", preset="smoke", settings=settings, store=store, output=output, workers=1, device="cpu"
        )

    assert run().stable_json() == seed_run[0].stable_json()
    (files(store, "corpus", seed_run[0])[0].parent / "foreign").touch()
    with pytest.warns(UserWarning, match="foreign file foreign"):
        assert run().stable_json() == seed_run[0].stable_json()
    assert [result.task.name for result in natfp_bench.load_results(tmp_path / "results")] == ["seed_id", "seed_id"]
    with pytest.raises(UserError, match="workers 0"):
        natfp_bench.run("seed_id", workers=0)
