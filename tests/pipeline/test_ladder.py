"""The ladder of knowledge in a run: what each rung is given, and who is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import LEAN, Bench, gathered, scores
from written_baselines import write

from natfp_bench.attributors import registry
from natfp_bench.base.errors import JobError, UserError
from natfp_bench.pipeline import ladder
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.sources.train import trained_for
from natfp_bench.pipeline.stages.knowledge import TrainingTexts, Unlabelled, knowledge_of
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.stages.trained import TrainedModel
from natfp_bench.pipeline.stages.variant import VariantStages
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan import split
from natfp_bench.plan.ancestors import STRANGER_SEED
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.text_settings import TextsSpec

CODE = """
    import numpy as np

    class Told:
        def __init__(self, knowledge):
            self.knowledge = knowledge

        def fit(self, texts, labels):
            self.classes_ = np.unique(labels)
            self.seen = len(self.knowledge.unlabelled)
            if self.knowledge.rung == "recipe":
                assert all((folder / "model.safetensors").is_file() for folder in self.knowledge.strangers)
                assert (self.knowledge.corpus / "tokenizer.json").is_file()
            if self.knowledge.rung == "origin":
                assert set(self.knowledge.twins) == set(labels)
                assert all((folder / "model.safetensors").is_file() for [folder] in self.knowledge.twins.values())
            return self

        def predict_proba(self, texts):
            return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))

    def build(seed, knowledge):
        return Told(knowledge)
"""

OWN: dict[str, Any] = {"overrides": LEAN, "seed": 1}
"""A seed of its own: with that of other tests, further texts would be there before these ask for them."""


def told(folder: Path, rung: str) -> str:
    """Write the folder of an attributor that looks at what its rung is given, and then guesses."""
    return str(write(folder, CODE, name=f"told_{rung}", card=f"knowledge: {rung}\n"))


@pytest.fixture(scope="module")
def run(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, Any]:
    """Evidence and result of a run in which attributors of every rung took part."""
    folder = tmp_path_factory.mktemp("told")
    asked = ",".join(
        ["majority,naive_bayes", *(told(folder, rung) for rung in ("unlabelled", "corpus", "recipe", "origin"))]
    )
    evidence, result, _ = gathered(bench, "seed_id", baselines=asked, **OWN)
    return evidence, result


def test_each_rung_is_given_what_it_asks_for_and_is_named_in_the_result(run: tuple[Evidence, Any]) -> None:
    found = scores(run[1])
    assert {name: score.error for name, score in found.items() if score.status != "ok"} == {}
    assert {name: score.attributor.knowledge for name, score in found.items()} == {
        "majority": "texts",
        "naive_bayes": "texts",
        "told_unlabelled": "unlabelled",
        "told_corpus": "corpus",
        "told_recipe": "recipe",
        "told_origin": "origin",
        "ceiling": "weights",
    }
    assert {found[name].rank for name in ("told_unlabelled", "told_corpus", "told_recipe", "told_origin")} == {1}, (
        "alone on its rung"
    )


def test_further_texts_are_of_the_sources_and_of_no_test_prompt(run: tuple[Evidence, Any], bench: Bench) -> None:
    evidence, _ = run
    store, plan = evidence.store, evidence.plan
    stages = ladder.given(evidence, "unlabelled")
    known = knowledge_of("unlabelled", stages, store)
    assert known is not None
    expected = []
    for of in evidence.kept:
        source = ladder._samples(plan, of)
        table = read_table(store, source).slice(plan.texts, 4 * plan.texts)
        test = split.test_rows(table["prompt"].to_numpy().astype(np.int64), plan.split)
        expected += [text for text, out in zip(table["text"].to_pylist(), test.tolist(), strict=True) if not out]
    assert sorted(known.unlabelled) == sorted(expected)
    assert list(known.unlabelled) != expected, "their place says nothing of their source"
    assert len(expected) == 16 * plan.texts * 3 // 4


def test_a_fold_is_given_texts_of_the_models_that_it_learns_from_alone(run: tuple[Evidence, Any]) -> None:
    evidence, _ = run
    known = np.array([True, False, True, True])
    fold = split.Fold(0, known, ~known)
    [stage] = ladder.given(evidence, "unlabelled", fold)
    assert isinstance(stage, Unlabelled)
    models = {block.model for samples in stage.samples for block in samples}  # type: ignore[attr-defined]
    assert models == {of.model for of, learnt in zip(evidence.kept, known, strict=True) if learnt}


def test_the_corpus_as_texts_has_its_documents_once(run: tuple[Evidence, Any], bench: Bench) -> None:
    evidence, _ = run
    stages = ladder.given(evidence, "corpus")
    assert [type(stage) for stage in stages] == [Unlabelled, TrainingTexts]
    known = knowledge_of("corpus", stages, evidence.store)
    assert known is not None
    texts = list(known.corpus_texts())
    whole = bench.corpus.read_text()
    assert len(texts) == len(set(texts)) > 20
    # The first and the last one may be pieces of documents; one between them is whole.
    assert all(text in whole for text in texts)
    assert all(f"\n\n{text}" in whole for text in texts[1:-1])


def test_strangers_are_no_variants(run: tuple[Evidence, Any]) -> None:
    evidence, _ = run
    [stranger] = evidence.strangers
    own = stranger.variant.settings
    assert {own.seeds.init, own.seeds.data_order, own.seeds.dropout} == {STRANGER_SEED}
    assert stranger.model in ladder.given(evidence, "recipe")
    weights = {evidence.metas[of.model].weights for of in evidence.kept}
    assert evidence.metas[stranger.model].weights not in weights
    same = VariantStages(evidence.kept[2].variant, stranger.model, ())
    with pytest.raises(JobError, match="has the seeds of seed2/r0"):
        ladder.check_strangers([same], evidence.kept, evidence.metas)
    metas = {**evidence.metas, stranger.model: evidence.metas[evidence.kept[1].model]}
    with pytest.raises(JobError, match="has the weights of seed1/r0"):
        ladder.check_strangers([stranger], evidence.kept, metas)


@pytest.mark.parametrize("task", ["init_seed_id", "lr_id", "fork_id", "finetune_seed_id", "size_id", "null_run_id"])
def test_there_is_a_stranger_of_each_recipe_whatever_the_seeds(task: str) -> None:
    plan = make_plan(task, "smoke")
    variants = resolve(plan)
    found = ladder.strangers(plan, variants)
    recipes = {of.variant.level for of in variants} if task in ("lr_id", "size_id") else {"one"}
    assert len(found) == len(recipes)
    assert not {of.model for of in found} & {of.model for of in variants}
    for of in found:
        recipe = of.model.recipe  # type: ignore[attr-defined]
        assert isinstance(of.model, TrainedModel)
        assert recipe == of.variant.settings.recipe
        assert not recipe.fork.at
        assert not recipe.finetune.share or recipe.finetune.seed == STRANGER_SEED


@pytest.mark.parametrize(("task", "strangers"), [("prune_id", 5), ("merge_id", 5), ("base_id", 2), ("teacher_id", 1)])
def test_strangers_of_models_with_a_history_share_none_of_it(task: str, strangers: int) -> None:
    plan = make_plan(task, "smoke")
    variants = resolve(plan)
    found = ladder.strangers(plan, variants)
    assert len(found) == strangers

    def history(of: VariantStages) -> set[str]:
        """Keys of all trainings that the model goes back to."""
        return {model.key for model in trained_for(of.model)}

    known = set().union(*map(history, variants))
    assert all(known.isdisjoint(history(of)) for of in found)


def test_twins_have_the_initial_weights_of_their_sources_and_nothing_else(run: tuple[Evidence, Any]) -> None:
    evidence, _ = run
    assert list(evidence.twins) == evidence.names
    for of in evidence.kept:
        twin, own = evidence.twins[of.name].variant.settings, of.variant.settings
        assert twin.seeds.init == own.seeds.init
        assert (twin.seeds.data_order, twin.seeds.dropout) == (STRANGER_SEED, STRANGER_SEED)
        assert twin.model_copy(update={"seeds": own.seeds}) == own
    fold = split.Fold(0, np.array([True, False, True, True]), np.array([False, True, False, False]))
    given = ladder.twins_given(evidence, "origin", evidence.levels, fold)
    assert [label for label, _ in given] == ["seed0", "seed2", "seed3"], "none of a model that is held out"
    assert ladder.twins_given(evidence, "recipe", evidence.levels) == ()


@pytest.mark.parametrize(("task", "twins"), [("data_order_id", 1), ("init_seed_id", 3), ("fork_id", 1), ("lr_id", 6)])
def test_sources_that_share_initial_weights_and_recipe_share_a_twin(task: str, twins: int) -> None:
    plan = make_plan(task, "smoke")
    if task == "data_order_id":
        plan = plan.model_copy(update={"variants": [of for of in plan.variants if of.replicate == 0]})
    variants = resolve(plan)
    found = ladder.twins(plan, variants)
    assert len({of.model for of in found.values()}) == twins
    assert not {of.model for of in found.values()} & {of.model for of in variants}


def test_models_that_are_made_of_others_have_no_twins() -> None:
    for task in ("teacher_id", "prune_id"):
        assert "made of others" in str(ladder.lacking(make_plan(task, "smoke"), "origin"))
    assert ladder.lacking(make_plan("base_id", "smoke"), "origin") is None


def test_a_seed_that_a_variant_has_is_not_taken() -> None:
    plan = make_plan("seed_id", "smoke")
    variants = resolve(plan)
    taken = variants[0].variant.settings
    seeds = taken.seeds.model_copy(update={"init": STRANGER_SEED})
    moved = variants[0].variant.model_copy(update={"settings": taken.model_copy(update={"seeds": seeds})})
    [stranger] = ladder.strangers(plan, [replace(variants[0], variant=moved), *variants[1:]])
    assert stranger.variant.settings.seeds.init == STRANGER_SEED + 1


def test_where_a_rung_cannot_be_had_its_attributors_are_left_out_by_name(tmp_path: Path) -> None:
    plan = make_plan("seed_id", "smoke")
    found = registry.find(",".join(["majority", *(told(tmp_path, rung) for rung in ("unlabelled", "recipe"))]))
    assert ladder.able(plan, found) == (found, [])
    fixed = plan.model_copy(update={"fixed_texts": "f" * 64})
    kept, why = ladder.able(fixed, found)
    assert [one.name for one in kept] == ["majority"]
    assert why[1] == "told_recipe (knowledge: recipe): fixed texts are all that is given of their sources"
    with pytest.raises(UserError, match="no attributor is left for seed_id:\n  told_recipe"):
        ladder.able(fixed, found[2:])
    given = plan.model_copy(update={"given": TextsSpec(paths=("a.csv",))})
    assert "given texts are all that is known" in str(ladder.lacking(given, "unlabelled"))
    hub = make_plan("pythia_seed_id", "smoke")
    assert ladder.lacking(hub, "unlabelled") is None
    assert "their corpus and recipe are not at hand" in str(ladder.lacking(hub, "corpus"))


def test_a_run_says_whom_it_leaves_out(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "lacking", lambda _, rung: None if rung == "texts" else "there is none")
    result, _ = bench.run("seed_id", baselines=f"majority,{told(tmp_path, 'recipe')}", **OWN)
    assert "left out: told_recipe (knowledge: recipe): there is none" in bench.warnings + [
        event.text for event in bench.events if event.kind == "warning"
    ]
    assert set(scores(result)) == {"majority", "ceiling"}


def test_studies_refit_a_baseline_that_reads_texts_alone(tmp_path: Path) -> None:
    [one] = registry.find(told(tmp_path, "unlabelled"))
    with pytest.raises(UserError, match=r"told_unlabelled asks for knowledge \(knowledge: unlabelled"):
        ladder.require_texts(one, "studies read texts")
    ladder.require_texts(registry.find("majority")[0], "studies read texts")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipe_lm", "hybrid_lm"])
def test_what_knows_the_recipe_runs_from_end_to_end(bench: Bench, name: str) -> None:
    result, _ = bench.run("seed_id", baselines=f"majority,unigram,{name}", **OWN)
    own = scores(result)[name]
    assert (own.status, own.attributor.knowledge, own.rank) == ("ok", "recipe", 1)
    assert not [check for check in result.checks if not check.ok]


@pytest.mark.slow
def test_origin_lm_runs_from_end_to_end(bench: Bench) -> None:
    result, _ = bench.run("seed_id", baselines="majority,unigram,origin_lm", **OWN)
    own = scores(result)["origin_lm"]
    assert (own.status, own.attributor.knowledge, own.rank) == ("ok", "origin", 1)
    assert not [check for check in result.checks if not check.ok]


@pytest.mark.slow
def test_nothing_is_found_where_there_is_nothing(bench: Bench) -> None:
    result, _ = bench.run("null_id", baselines="majority,recipe_lm,hybrid_lm", overrides=LEAN)
    for name in ("recipe_lm", "hybrid_lm"):
        assert scores(result)[name].status == "ok"
        assert [check.ok for check in result.checks if check.name.startswith(f"{name} is at chance")] == [True]
