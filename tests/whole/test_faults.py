"""Whole runs in which something fails: the fault is named, and everything else goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from bench import BRIEF, LEAN, files, scores, task_file
from written_baselines import BASELINE, plant

from natfp_bench.base.errors import SpecError, StoreError, UserError
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.store import Store

if TYPE_CHECKING:
    from bench import Bench

OWN_ERROR = """def fit(self, texts, labels):
        from natfp_bench.attributors.kit import AttributorError
        class Mine(AttributorError): pass
        raise Mine("a kind of its own")"""

FAULTS = {
    "own_error": (OWN_ERROR, "a kind of its own"),
    "raises": ("def fit(self, texts, labels): raise ValueError('no idea')", "ValueError: no idea"),
    "leaves": ("def fit(self, texts, labels): raise SystemExit(0)", "SystemExit"),
    "not_a_number": ("def predict_proba(self, texts): return np.full((len(texts), 4), np.nan)", "NaN"),
    "wrong_shape": ("def predict_proba(self, texts): return np.full((len(texts), 3), 1 / 3)", "shape (200, 3)"),
    "bad_sums": ("def predict_proba(self, texts): return np.full((len(texts), 4), 0.3)", "sums to 1.2"),
    "exits": ("def fit(self, texts, labels): os._exit(3)", "its process died (exit code 3)"),
    "killed": ("def predict_proba(self, texts): os.kill(os.getpid(), 9)", "was killed (SIGKILL"),
    "full_disk": ("def fit(self, texts, labels): open('/dev/full', 'w').write('x'); 1 / 0", ""),
}


def test_a_broken_attributor_breaks_nothing_else(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    names = [plant(tmp_path, name, BASELINE.format(fault=fault)) for name, (fault, _) in FAULTS.items()]
    result, folder = bench.run("seed_id", baselines=",".join([*names, "majority", "unigram"]))
    found = scores(result)
    for name, (_, said) in FAULTS.items():
        assert (found[name].status, found[name].rank, found[name].metrics) == ("failed", None, {})
        assert said in str(found[name].error)
        assert any(failure.startswith(f"{name} failed: ") for failure in result.failures)
        assert any(event.kind == "warning" and f"by {name} failed" in event.text for event in bench.events)
    for name in ("majority", "unigram", "ceiling"):
        assert found[name].metrics == scores(seed_run[0])[name].metrics
    assert results.read(folder / "result.json") == result
    kept = set(pq.read_table(folder / "predictions.parquet", columns=["attributor"])["attributor"].to_pylist())
    assert kept == {"majority", "unigram", "ceiling"}
    assert Store(bench.store).verify() == []
    assert bench.warnings == []


# Studies, and fits of single folds.

TOO_MANY = """
        self.classes_ = np.unique(labels)
        if len(self.classes_) > 4:
            raise ValueError(f"{len(self.classes_)} classes are too many")
        return self"""


def test_a_study_that_fails_is_named_and_the_run_goes_on(
    bench: Bench, rate_run: Any, rate_tasks: Path, tmp_path: Path
) -> None:
    fault = f"def fit(self, texts, labels):{TOO_MANY}"
    reference = plant(tmp_path, "modest", BASELINE.format(fault=fault))
    overrides = BRIEF | {"analysis.reference": reference}
    result, folder = bench.run("rate", include=[rate_tasks], overrides=overrides, baselines="majority")
    study = result.study
    assert study.failed == {"classes": "fit raised ValueError: 8 classes are too many (baseline.py:13)"}
    assert result.failures == [f"study classes failed: {study.failed['classes']}"]
    assert {curve.name for curve in study.curves} == {"pooled", "train_texts"}
    assert study.reference == "modest"  # by name: no path enters a key
    assert [point.accuracy.value for point in study.length.points] == pytest.approx([1 / 3] * 4)
    assert study.permutation == rate_run[0].study.permutation, "it has a classifier of its own"
    assert study.wording is not None
    assert {event.text for event in bench.events if event.kind == "warning"} == {
        f"study classes failed: {study.failed['classes']}"
    }
    known = {(s.attributor.name, s.target, s.split): s.metrics for s in rate_run[0].scores}
    assert all(s.metrics == known[s.attributor.name, s.target, s.split] for s in result.scores)
    assert results.read(folder / "result.json") == result


def test_every_study_may_fail(bench: Bench, rate_run: Any, rate_tasks: Path, tmp_path: Path) -> None:
    reference = plant(tmp_path, "idle", BASELINE.format(fault="def fit(self, texts, labels): raise ValueError('no')"))
    overrides = BRIEF | {"analysis.reference": reference}
    result, folder = bench.run("rate", include=[rate_tasks], overrides=overrides, baselines="majority")
    study = result.study
    # Studies that need no fit are there all the same.
    assert set(study.failed) == {"robustness", "length", "train_texts", "pooled", "classes"}
    assert set(study.failed.values()) == {"fit raised ValueError: no (baseline.py:10)"}
    assert (study.length, study.curves, study.robustness) == (None, (), ())
    assert study.wording is not None
    assert study.permanova == rate_run[0].study.permanova
    assert (study.permutation, len(study.by_position)) == (rate_run[0].study.permutation, 32)
    assert {score.status for score in result.scores} == {"ok"}
    assert len(result.failures) == 5
    assert results.read(folder / "result.json") == result


def test_an_attributor_that_fails_in_one_fold_fails_for_that_target(
    bench: Bench, rate_evidence: Any, rate_tasks: Path, tmp_path: Path
) -> None:
    """The text that breaks it is in one replicate: two fits train on that replicate, and one holds it out."""
    evidence = rate_evidence[0]
    table = evidence.sample_table(evidence.kept[0])
    trap = max((row["text"] for row in table.to_pylist() if row["row"] % 4 != 3), key=len)
    fault = (
        f"def fit(self, texts, labels):\n        if {trap!r} in texts and len(texts) == 450: raise ValueError('met it')"
    )
    fault += "\n        self.classes_ = np.unique(labels)\n        return self"
    name = plant(tmp_path, "wary", BASELINE.format(fault=fault))
    result, folder = bench.run("rate", include=[rate_tasks], overrides=BRIEF, baselines=f"{name},majority")
    mine = {(score.target, score.split): score for score in result.scores if score.attributor.name == "wary"}
    for split in ("unseen_replicate", "seen_replicate"):
        score = mine["level", split]
        assert (score.status, score.metrics, score.rank) == ("failed", {}, None)
        assert "met it" in str(score.error)
    assert mine["instance", "unseen_prompt"].status == "ok"
    warned = [event.job.name for event in bench.events if event.kind == "warning"]
    assert warned == [f"attribute level by wary (without replicate {fold})" for fold in (1, 2)]
    assert "attribute level by wary (without replicate 0)" not in warned
    assert [gap.attributor for gap in result.study.gaps] == ["majority"]
    assert len([failure for failure in result.failures if failure.startswith("wary failed")]) == 1
    rows = pq.read_table(folder / "predictions.parquet", columns=["attributor", "target"]).to_pylist()
    assert {row["target"] for row in rows if row["attributor"] == "wary"} == {"instance"}


@pytest.mark.parametrize(
    ("reference", "said"),
    [("nobody", "unknown baseline 'nobody'"), ("majority,unigram", "names 2 baselines, and takes one")],
)
def test_an_unknown_reference_attributor_is_refused_before_work(bench: Bench, reference: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        bench.run("seed_id", overrides={"analysis.reference": reference}, seed=79)
    assert bench.started() == []


@pytest.mark.parametrize(("topics", "said"), [("mill", "has no topics"), ("mil", "unknown topic 'mil'")])
def test_topics_that_a_corpus_does_not_have_are_refused_before_work(
    bench: Bench, tmp_path: Path, topics: str, said: str
) -> None:
    text = f"factor:\n  name: f\n  fields: [corpus.topics]\n  levels: {{a: voyage, b: {topics}}}\n"
    corpus = {"corpus.name": "chronicle"} if "unknown" in said else {}
    with pytest.raises(UserError, match=said):
        bench.run("topics", include=[task_file(tmp_path / "tasks", "topics", text)], overrides=corpus)
    assert bench.started() == []


def test_a_corpus_whose_documents_begin_alike_gives_no_prompts_and_all_else_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    """Unprompted runs do not need prompts: without them, only the transfer to prompted texts is missing."""
    documents = bench.corpus.read_text().split("\n\n")
    corpus = tmp_path / "alike.txt"
    corpus.write_text("\n\n".join(f"In the {document}" for document in documents))
    text = "factor:\n  name: f\n  fields: [seeds.init]\n  levels: {a: 0, b: 1}\n"
    overrides = BRIEF | {"analysis.transfer": "true", "corpus.name": f"text:{corpus}"}
    tasks = task_file(tmp_path / "tasks", "pair", text)
    result, _ = bench.run("pair", include=[tasks], overrides=overrides, baselines="majority")
    conditions = {row.condition for row in result.study.robustness}
    assert conditions >= {"plain", "temperature 0.7", "temperature 1.3"}
    assert not any("prompted" in condition for condition in conditions)
    warned = [event.text for event in bench.events if event.kind == "warning"]
    assert [text.split(": ")[0] for text in warned] == [f"sample {name}/r0 prompted is left out" for name in "ab"]
    assert result.failures == []
    with pytest.raises(UserError, match="at least two prompts"):
        bench.run(
            "pair",
            include=[tasks],
            overrides=overrides | {"sampling.prompt_characters": "4", "sampling.max_tokens": "16"},
        )


DIVERGING = """
factor:
  name: peak learning rate
  fields: [optimizer.lr]
  levels: {%s}
"""


def test_a_variant_that_diverges_is_kept_out(bench: Bench, tmp_path: Path) -> None:
    folder = task_file(tmp_path / "tasks", "lr", DIVERGING % "low: 3e-3, mid: 4e-3, absurd: 1e5")
    result, written = bench.run("lr", include=[folder], baselines="unigram", overrides=LEAN)
    statuses = {variant.level: variant.status for variant in result.variants}
    assert statuses == {"low": "ok", "mid": "ok", "absurd": "diverged"}
    bad = result.variants[2]
    assert bad.reason
    assert bad.heldout_bits_per_byte is None
    assert {score.classes for score in result.scores} == {("low", "mid")}
    assert {score.chance for score in result.scores} == {0.5}
    assert result.mean_kl.variants == ("low/r0", "mid/r0")
    assert any(failure.startswith("absurd/r0 diverged") for failure in result.failures)
    variants = set(pq.read_table(written / "predictions.parquet", columns=["variant"])["variant"].to_pylist())
    assert variants == {"low/r0", "mid/r0"}
    assert any(event.kind == "warning" and "train absurd/r0 diverged" in event.text for event in bench.events)


def test_fewer_than_two_levels_are_no_comparison(bench: Bench, tmp_path: Path) -> None:
    folder = task_file(tmp_path / "tasks", "lr", DIVERGING % "fine: 4e-3, absurd: 1e5")
    result, written = bench.run("lr", include=[folder], baselines="unigram")
    assert (result.scores, result.likelihood, result.mean_kl, result.samples) == ((), (), None, None)
    [check] = [check for check in result.checks if not check.ok]
    assert check.name == "two levels"
    assert "fine" in check.detail
    assert results.read(written / "result.json") == result
    table = pq.read_table(written / "predictions.parquet")
    assert table.num_rows == 0
    assert "proba" in table.column_names


def test_a_replicate_with_a_diverged_variant_is_left_out_whole() -> None:
    from natfp_bench.pipeline.evidence import without_diverged
    from natfp_bench.plan.make_plan import make_plan

    variants = make_plan("init_seed_id", "smoke").variants
    names = [variant.name for variant in variants]
    ok = dict.fromkeys(names, "ok")
    assert without_diverged(variants, ok) == set(names)
    assert without_diverged(variants, ok | {"init1/r0": "diverged"}) == {"init0/r1", "init1/r1", "init2/r1"}
    both = ok | {"init1/r0": "diverged", "init1/r1": "diverged"}
    assert without_diverged(variants, both) == {"init0/r0", "init2/r0", "init0/r1", "init2/r1"}
    assert without_diverged(variants, dict.fromkeys(names, "diverged")) == set()


def test_variants_left_out_beside_a_diverged_one_are_named() -> None:
    from natfp_bench.pipeline.assemble import left_out
    from natfp_bench.pipeline.stages.stage import KnownModel
    from natfp_bench.pipeline.stages.variant import VariantStages
    from natfp_bench.plan.make_plan import make_plan

    planned = make_plan("init_seed_id", "smoke").variants
    variants = [VariantStages(variant, KnownModel("m"), ()) for variant in planned]
    bad = {"init1/r0"}
    assert left_out(variants, variants, set()) == []
    [check] = left_out(variants, [of for of in variants if of.variant.replicate == 1], bad)
    assert not check.ok
    assert check.detail.endswith("init0/r0, init2/r0")
    assert left_out(variants, [of for of in variants if of.variant.name not in bad], bad) == []


@pytest.mark.parametrize("damage", ["sample", "model", "score", "prediction", "study", "corpus"])
def test_damaged_entries_are_made_again(bench: Bench, seed_run: Any, tmp_path: Path, damage: str) -> None:
    store = tmp_path / "store"
    shutil.copytree(bench.store, store)
    endings = (".json",) if damage == "study" else (".parquet", ".safetensors")
    found = files(store, damage, seed_run[0])
    victim = next(path for path in found if path.suffix in endings and path.name != "manifest.json")
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0x10
    victim.write_bytes(content)
    result, _ = bench.run("seed_id", store=store)
    assert len(bench.started()) == 1
    assert len(bench.warnings) == 1
    assert "set aside" in bench.warnings[0]
    assert result.stable_json() == seed_run[0].stable_json()


def test_faults_of_the_user_are_raised_as_user_errors(bench: Bench, tmp_path: Path) -> None:
    small = tmp_path / "small.txt"
    small.write_text("\n\n".join(f"A short document, number {i}." for i in range(300)))
    with pytest.raises(UserError, match="too small for the preset"):
        bench.run("seed_id", overrides={"corpus.name": f"text:{small}"})
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match="empty"):
        bench.run("seed_id", overrides={"corpus.name": f"text:{tmp_path / 'empty.txt'}"})
    with pytest.raises(SpecError, match="optimizer"):
        bench.run("seed_id", overrides={"optimizer.lrr": "1"})


def test_an_output_folder_below_a_file_is_refused_before_work(bench: Bench, tmp_path: Path) -> None:
    from natfp_bench.attributors import registry
    from natfp_bench.pipeline.run import run_plan

    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"output folder .* is not writable"):
        run_plan(
            bench.plan("seed_id", seed=77),
            registry.find("majority"),
            store=Store(bench.store),
            engine=bench.engine,
            output=tmp_path / "file" / "results",
            watch=lambda event: pytest.fail(f"{event} after all"),
        )
