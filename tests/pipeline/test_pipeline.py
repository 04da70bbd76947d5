"""Whole runs at the smallest preset: what is made, what is made only once, what a fault takes with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bench import BRIEF, LEAN, Bench, scores, task_file
from inline_engine import Inline
from written_baselines import BASELINE, plant

from natfp_bench.pipeline.result import VariantResult
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import DISGUISES, resolve
from natfp_bench.statistics import per_text
from natfp_bench.statistics.curves import MIXED, REWRITTEN


def differing(variants: list[VariantResult]) -> set[tuple[str, str]]:
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
    assert found["ceiling"].log10_p < -6
    assert {score.n_test for score in result.scores} == {4 * 50}
    assert {score.n_train for score in result.scores} == {4 * 150, None}
    for variant in result.variants:
        assert variant.tokens_trained == 61_440
        assert 0.5 < variant.heldout_bits_per_byte.value < 4
    assert result.run.seconds["total"] > 0
    assert result.run.work["train"] > 0
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
        assert per_text.credits(proba, truth).mean() == pytest.approx(score.metrics["accuracy"].value)
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
    assert ceiling.log10_p < -6
    assert result.likelihood[0].mutual_information.low > 0.1
    failed = {check.name for check in result.checks if not check.ok}
    assert "ceiling is at chance (level)" in failed
    assert any("ceiling is at chance" in failure for failure in result.failures)
    # The two streams at temperature 1 share their credit: only the cooler one stands apart.
    confusion = np.array(ceiling.confusion)
    assert confusion[1:, 1].tolist() == pytest.approx(confusion[1:, 2].tolist())


def test_an_attributor_that_hangs_is_stopped_by_its_card_and_named(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "sleeper"
    folder.mkdir()
    (folder / "baseline.py").write_text(
        "import time\n\n\nclass Sleeper:\n    def fit(self, texts, labels):\n        time.sleep(600)\n\n"
        "    def predict_proba(self, texts):\n        return None\n\n\ndef build(seed):\n    return Sleeper()\n"
    )
    (folder / "card.yaml").write_text(
        'name: sleeper\nversion: "1"\nauthors: [Nobody]\nsummary: Never wakes.\nlicence: Apache-2.0\ncost: fast\n'
        "limits: {seconds: 1}\n"
    )
    result, _ = bench.run("seed_id", baselines=f"{folder},majority")
    assert scores(result)["majority"].status == "ok"
    assert scores(result)["sleeper"].status == "failed"
    assert "its card allows 1 s" in (scores(result)["sleeper"].error or "")
    assert any(failure.startswith("sleeper failed: ") for failure in result.failures)


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


# Levels on replicates held out.


def test_a_further_baseline_on_held_out_replicates_trains_and_samples_nothing(
    bench: Bench, rate_run: Any, rate_tasks: Path, tmp_path: Path
) -> None:
    name = plant(tmp_path, "even", BASELINE.format(fault=""))
    result, _ = bench.run("rate", include=[rate_tasks], overrides=BRIEF, baselines=f"unigram,{name}")
    assert bench.started() == [
        *(f"attribute level by even (without replicate {fold})" for fold in range(3)),
        "attribute instance by even",
    ]
    assert result.protocol_digest == rate_run[0].protocol_digest
    assert [gap.gap.value for gap in result.study.gaps if gap.attributor == "even"] == [0.0]
    known = {(s.attributor.name, s.target, s.split): s.metrics for s in rate_run[0].scores}
    for score in result.scores:
        if score.attributor.name == "even":
            assert score.metrics["bits"].value == 0.0
        else:
            assert score.metrics == known[score.attributor.name, score.target, score.split]


def test_a_run_over_replicates_is_sound(rate_run: Any) -> None:
    result = rate_run[0]
    assert result.failures == []
    assert len({variant.weights for variant in result.variants}) == 9
    assert len({variant.training_multiset for variant in result.variants}) == 1
    study = result.study
    assert (study.permutation.test.permutations, study.permutation.test.exhaustive) == (35, True)
    assert study.permanova.test.permutations == 35
    assert study.permanova.test.p == pytest.approx(1 / 36)
    assert (study.length.unit, [point.at for point in study.length.points]) == ("tokens", [4, 8, 16, 32])
    assert {curve.name: curve.split for curve in study.curves} == {
        "pooled": "unseen_replicate",
        "train_texts": "unseen_replicate",
        "classes": "unseen_prompt",
    }
    # The same fits of the same attributor on the same texts, by three ways.
    [score] = [s for s in result.scores if (s.attributor.name, s.split) == ("naive_bayes", "unseen_replicate")]
    accuracy = score.metrics["accuracy"].value
    pooled = next(curve for curve in study.curves if curve.name == "pooled")
    trained = next(curve for curve in study.curves if curve.name == "train_texts")
    plain = next(row for row in study.robustness if row.condition == "plain")
    seen = [pooled.points[0], trained.points[-1], study.length.points[-1], plain]
    assert [one.accuracy.value for one in seen] == pytest.approx([accuracy] * 4)
    assert study.permutation.test.testable
    assert len(study.by_position) == 32
    assert sum(row.bits_share for row in study.by_type if row.bits_share) == pytest.approx(1)


def test_tasks_that_share_a_variant_train_and_sample_it_once(bench: Bench, rate_run: Any, tmp_path: Path) -> None:
    text = "factor:\n  name: clipping\n  fields: [optimizer.clip]\n  levels: {usual: x1, tight: x0.1}\n"
    result, _ = bench.run("clip", include=[task_file(tmp_path / "tasks", "clip", text)], overrides=BRIEF)
    made = [name for name in bench.started() if name.startswith(("prepare", "train", "sample"))]
    assert made == ["train tight/r0", "sample tight/r0 1/1"]
    usual = next(variant for variant in rate_run[0].variants if variant.name == "middle/r0")
    assert {variant.name: variant.key == usual.key for variant in result.variants} == {
        "usual/r0": True,
        "tight/r0": False,
    }


@pytest.fixture
def inline(bench: Bench) -> Iterator[Inline]:
    """The engine of the shared store, for one test, done here."""
    pool, bench.engine = bench.engine, Inline()
    yield bench.engine
    bench.engine = pool


ONE_RUN = BRIEF | {"replicates": "1"}


def test_checkpoints_of_one_run_take_each_step_once(bench: Bench, inline: Inline) -> None:
    result, _ = bench.run("checkpoint_id", overrides=ONE_RUN, baselines="majority", seed=1)
    assert inline.trained() == {f"train {name}/r0": 10 for name in ("quarter", "half", "three_quarters", "end")}
    assert [variant.tokens_trained for variant in result.variants] == [share * 20_480 // 4 for share in (1, 2, 3, 4)]
    bits = [variant.heldout_bits_per_byte.value for variant in result.variants if variant.heldout_bits_per_byte]
    assert bits == sorted(bits, reverse=True)
    assert result.failures == []


def test_plain_runs_are_shared_by_what_stops_or_goes_on(bench: Bench, rate_run: Any) -> None:
    """A run to its end, and the base of a fine-tuned one, are found under the key of the plain run."""
    stopped, tuned = (resolve(bench.plan(task, overrides=ONE_RUN)) for task in ("checkpoint_id", "finetune_seed_id"))
    plain = next(variant for variant in rate_run[0].variants if variant.name == "middle/r0")
    assert [of.model.key == plain.key for of in stopped] == [False, False, False, True]
    assert [of.start for of in stopped] == [None, *(of.model for of in stopped[:3])]
    assert {of.model.base.key for of in tuned} == {plain.key}


@pytest.mark.slow
def test_levels_of_fine_tuning_start_from_one_base(bench: Bench, inline: Inline) -> None:
    result, _ = bench.run("finetune_seed_id", overrides=ONE_RUN, baselines="majority", seed=2)
    names = [f"train tune{i}/r0" for i in range(3)]
    assert inline.trained() == {"train the base of tune0/r0": 40} | dict.fromkeys(names, 10)
    assert len({variant.weights for variant in result.variants}) == 3
    assert len({variant.training_multiset for variant in result.variants}) == 1
    assert {variant.tokens_trained for variant in result.variants} == {20_480 * 5 // 4}
    assert result.failures == []
    # Another fine-tuning finds the base in the store.
    inline.steps.clear()
    bench.run("finetune_seed_id", overrides=ONE_RUN | {"finetune.lr": "0.5"}, baselines="majority", seed=2)
    assert inline.trained() == dict.fromkeys(names, 10)


def test_weights_that_are_served_in_two_ways_are_trained_once(bench: Bench, rate_run: Any) -> None:
    result, _ = bench.run("quantization_id", overrides=ONE_RUN, baselines="majority")
    assert not any(name.startswith(("prepare", "train")) for name in bench.started()), "it is the plain run's model"
    assert len({variant.key for variant in result.variants}) == 1
    assert len({variant.weights for variant in result.variants}) == 1
    assert bench.started().count("sample int8/r0 1/1") == 1
    assert rate_run[0].study.equivalence is not None
    assert result.study.equivalence is None, "bits per byte are of the weights, which are the same"
    [[_, there], [back, _]] = result.mean_kl.divergence
    assert 0 < abs(there.value) < 0.1
    assert 0 < abs(back.value) < 0.1
    assert result.failures == []


def test_texts_are_drawn_in_other_ways_for_tests_alone(seed_run: Any) -> None:
    found = {(row.condition, row.trained_on): row.accuracy for row in seed_run[0].study.robustness}
    # A prompt and its text share the context, so that prompted texts are half as long.
    others = ["temperature 0.7", "temperature 1.3", "prompted", "plain, as short as prompted"]
    assert {name for name, _ in found} >= {"plain", "lower_case", *others}
    assert all(found[name, "plain"].n_units >= 1 for name in others)
    assert all((name, "transformed") not in found for name in others)


def store_of(bench: Bench, result: Any, folder: Path) -> Store:
    """Copy the shared store into a folder; of its entries, keep only what one run rests on."""
    shutil.copytree(bench.store, folder / "store")
    store = Store(folder / "store")
    for path in (store.root / "runs").glob("*.json"):
        if path.stem != result.run.id:
            path.unlink()
    store.gc(older_than_days=0, dry_run=False)
    return store


@pytest.mark.slow
def test_disguised_texts_are_drawn_and_mixed_if_asked_for(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    # Tests of what attributors may know train the same stranger: a store without it shows that it is trained here.
    store = store_of(bench, seed_run[0], tmp_path)
    result, _ = bench.run("seed_id", overrides={"analysis.disguises": "true"}, baselines="majority", store=store.root)
    started = bench.started()
    assert not any(name.startswith("prepare") for name in started)
    assert [name for name in started if name.startswith("train")] == ["train stranger/r0"], "which rewrites"
    assert sum("top-p 0.9" in name for name in started) == 4, "once for each model"
    assert sum(REWRITTEN in name for name in started) == 4
    found = {(row.condition, row.trained_on): row.accuracy for row in result.study.robustness}
    usual = {(row.condition, row.trained_on): row.accuracy for row in seed_run[0].study.robustness}
    assert {name: found[name] for name in usual} == usual, "what was studied before is the same"
    mixed = {(MIXED, "plain"), (MIXED, "transformed")}
    assert found.keys() - usual.keys() == {(way, "plain") for way in (*DISGUISES, REWRITTEN)} | mixed
    assert result.failures == []


def test_a_run_keeps_what_it_rests_on_from_gc(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    store = store_of(bench, seed_run[0], tmp_path)
    again, _ = bench.run("seed_id", store=store.root)
    assert bench.started() == []
    assert again.stable_json() == seed_run[0].stable_json()
    assert len(list((store.root / "model").glob("*/*"))) == 4
