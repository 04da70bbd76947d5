"""Keys: what determines an entry is in its key, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from natfp_bench.pipeline import keys, store
from natfp_bench.pipeline.resolve import resolve_keys
from natfp_bench.pipeline.run import protocol_digest
from natfp_bench.pipeline.steps import STAGES
from natfp_bench.plan.plan import Plan, make_plan, plan_file
from natfp_bench.plan.settings import (
    BudgetSpec,
    CorpusSpec,
    ModelSpec,
    OptimizerSpec,
    SamplingSpec,
    ScheduleSpec,
    Settings,
    SourceSpec,
    TokenizerSpec,
)
from natfp_bench.plan.task_files import AnalysisSpec, SplitSpec


@pytest.fixture
def settings() -> Settings:
    """A recipe written out, so that no preset's change moves the golden digests."""
    return Settings(
        corpus=CorpusSpec(name="chronicle", heldout_documents=50),
        tokenizer=TokenizerSpec(vocabulary=320, train_bytes=100_000),
        model=ModelSpec(width=32, layers=2, heads=2, feed_forward=64, context=32),
        optimizer=OptimizerSpec(lr=4e-3),
        schedule=ScheduleSpec(warmup_tokens=5000),
        budget=BudgetSpec(tokens=60_000, batch=16),
        sampling=SamplingSpec(texts=200, max_tokens=32, block=100),
    )


def with_(settings: Settings, section: str, **changes: Any) -> Settings:
    changed = getattr(settings, section).model_copy(update=changes) if section != "rerun" else changes["rerun"]
    return settings.model_copy(update={section: changed})


def all_keys(settings: Settings, plan: Plan, identity: dict[str, Any]) -> dict[str, str]:
    corpus = keys.corpus_key(settings, identity, identity)
    model = keys.model_key(settings, plan.seed, corpus)
    samples = [keys.sample_keys(settings, plan.seed, plan.texts, model)] * 2
    labels, digest = ["a", "b"], "0" * 64
    return {
        "corpus": corpus,
        "model": model,
        "sample": samples[0][0],
        "transfer": keys.transfer_key(settings, plan, model),
        "score": keys.score_key(model, settings, samples, plan),
        "prediction": keys.prediction_key(digest, labels, samples, [True, True], plan),
        "study": keys.study_key("length", digest, labels, samples, plan, analysis=plan.analysis),
        "stream": str(keys.stream_name(model, settings, plan.seed)),
        "scorer": str(keys.distribution(settings)),
    }


@pytest.fixture
def plan() -> Plan:
    made = make_plan("seed_id", "smoke")
    pinned = {"texts": 200, "split": SplitSpec(test_every=4), "analysis": AnalysisSpec(), "seed": 0}
    return made.model_copy(update=pinned)


IDENTITY = {"chronicle": 1, "seed": 0, "topics": []}


def test_golden(settings: Settings, plan: Plan) -> None:
    """A change here makes every store anew: mean it, and raise the stage's version in `keys.VERSIONS`."""
    found = all_keys(settings, plan, IDENTITY)
    assert {name: key[:16] for name, key in found.items() if len(key) == 64} == {
        "corpus": "1e43cff35526ad61",
        "model": "42f175e5570c5b6a",
        "sample": "9273485a52ed75f4",
        "transfer": "184c02c526918de3",
        "score": "f47b544f76a872b5",
        "prediction": "b8935c9b6bb0b0e3",
        "study": "8dfefce68ea67754",
    }


def test_every_stage_has_a_version_a_place_and_a_name() -> None:
    assert tuple(keys.VERSIONS) == store.KINDS == tuple(STAGES)


DATA = {"corpus", "model", "sample", "transfer", "score", "prediction", "study", "stream"}
TRAINING = DATA - {"corpus"}
DRAWING = {"sample", "transfer", "score", "prediction", "study"}
SHAPE = {*DRAWING, "stream", "scorer"}


@pytest.mark.parametrize(
    ("section", "changes", "moved"),
    [
        ("tokenizer", {"vocabulary": 300}, DATA),
        ("tokenizer", {"train_bytes": 50_000}, DATA),
        ("model", {"context": 64}, DATA),
        ("budget", {"tokens": 120_000}, DATA),
        ("budget", {"batch": 8}, TRAINING),  # as many blocks, in smaller steps
        ("budget", {"batch": 10}, DATA),  # two blocks fewer, in whole steps
        ("budget", {"epochs": 2}, DATA),
        ("budget", {"stop": 0.5}, TRAINING),  # the horizon's blocks are there already
        ("finetune", {"share": 0.5}, DATA),
        ("finetune", {"seed": 1}, TRAINING),
        ("finetune", {"lr": 0.5}, TRAINING),
        ("optimizer", {"name": "muon"}, TRAINING),
        ("optimizer", {"momentum": 0.9}, TRAINING),
        ("corpus", {"heldout_documents": 60}, DATA),
        ("model", {"width": 64}, TRAINING),
        ("model", {"dropout": 0.1}, TRAINING),
        ("model", {"tied_embeddings": False}, TRAINING),
        ("optimizer", {"lr": 3e-3}, TRAINING),
        ("optimizer", {"clip": 0.5}, TRAINING),
        ("schedule", {"name": "linear"}, TRAINING),
        ("seeds", {"init": 1}, TRAINING),
        ("seeds", {"data_order": 1}, TRAINING),
        ("seeds", {"dropout": 1}, TRAINING),
        ("numerics", {"dtype": "bfloat16"}, TRAINING),
        ("numerics", {"threads": 2}, {*TRAINING, "scorer"}),
        ("serve", {"dtype": "bfloat16"}, SHAPE),
        ("serve", {"quantization": "int8"}, SHAPE),
        ("numerics", {"micro_batch": 4}, TRAINING),
        ("numerics", {"compile": True}, TRAINING),
        ("numerics", {"stack": 8}, TRAINING),
        ("rerun", {"rerun": 1}, TRAINING),
        ("sampling", {"temperature": 0.7}, SHAPE),
        ("sampling", {"top_k": 5}, SHAPE),
        ("sampling", {"top_p": 0.9}, SHAPE),
        ("sampling", {"prompt_characters": 20}, {*DRAWING, "stream"}),
        ("sampling", {"stream": 1}, {*DRAWING, "stream"}),
        ("sampling", {"max_tokens": 16}, DRAWING),  # a longer text begins like the shorter one
        ("sampling", {"block": 50}, DRAWING),
        ("sampling", {"texts": 400}, set()),  # the plan's own number of texts counts
    ],
)
def test_a_setting_moves_the_keys_that_it_should(
    settings: Settings, plan: Plan, section: str, changes: dict[str, Any], moved: set[str]
) -> None:
    before = all_keys(settings, plan, IDENTITY)
    after = all_keys(with_(settings, section, **changes), plan, IDENTITY)
    assert {name for name in before if before[name] != after[name]} == moved


def test_the_corpus_counts_by_its_content(settings: Settings, plan: Plan) -> None:
    before = all_keys(settings, plan, IDENTITY)
    other = all_keys(settings, plan, {"chronicle": 1, "seed": 1})
    assert {name for name in before if before[name] != other[name]} == DATA


def test_the_seed_counts_and_the_corpus_stays(settings: Settings, plan: Plan) -> None:
    before = all_keys(settings, plan, IDENTITY)
    other = all_keys(settings, plan.model_copy(update={"seed": 1}), IDENTITY)
    assert {name for name in before if before[name] != other[name]} == TRAINING


def test_the_split_counts_for_predictions_and_scores(settings: Settings, plan: Plan) -> None:
    before = all_keys(settings, plan, IDENTITY)
    other = all_keys(settings, plan.model_copy(update={"split": SplitSpec(test_every=5)}), IDENTITY)
    assert {name for name in before if before[name] != other[name]} == {"transfer", "score", "prediction", "study"}


def test_what_is_studied_counts_for_studies_alone(settings: Settings, plan: Plan) -> None:
    before = all_keys(settings, plan, IDENTITY)
    other = all_keys(settings, plan.model_copy(update={"analysis": AnalysisSpec(permutations=9)}), IDENTITY)
    assert {name for name in before if before[name] != other[name]} == {"study"}
    found = {
        keys.study_key(study, digest, labels, [["s"], ["t"]], plan, fold=fold)
        for study in ("length", "pooled")
        for digest in "de"
        for labels in (["a", "b"], ["b", "a"])
        for fold in ("unseen_prompt", "unseen_replicate")
    }
    assert len(found) == 16


def test_the_whole_corpus_counts_where_a_part_of_it_is_trained_on(settings: Settings) -> None:
    part, whole = {**IDENTITY, "topics": ["mill"]}, IDENTITY
    found = {keys.corpus_key(settings, a, b) for a in (part, whole) for b in (part, whole)}
    assert len(found) == 4


def test_test_rows_drawn_in_another_way_are_an_entry_of_their_own(settings: Settings, plan: Plan) -> None:
    hot = with_(settings, "sampling", temperature=1.3)
    known = {keys.transfer_key(settings, plan, "m"), keys.transfer_key(hot, plan, "m")}
    known |= {keys.transfer_key(settings, plan.model_copy(update={"texts": 100}), "m")}
    known |= set(keys.sample_keys(settings, plan.seed, plan.texts, "m"))
    assert len(known) == 5


def test_a_limit_is_a_prefix(settings: Settings, plan: Plan) -> None:
    whole = keys.sample_keys(settings, plan.seed, 450, "m")
    assert len(whole) == len(set(whole)) == 5
    for texts, blocks in {450: 5, 401: 5, 400: 4, 100: 1, 99: 1, 8: 1}.items():
        assert keys.sample_keys(settings, plan.seed, texts, "m") == whole[:blocks]


def test_a_baseline_counts_by_its_digest_labels_and_what_it_knows(plan: Plan) -> None:
    samples, all_ = [["s0"], ["s1"]], [True, True]
    found = {
        keys.prediction_key("d", ["a", "b"], samples, all_, plan),
        keys.prediction_key("e", ["a", "b"], samples, all_, plan),
        keys.prediction_key("d", ["a/r0", "b/r0"], samples, all_, plan),
        keys.prediction_key("d", ["a", "c"], samples, all_, plan),
        keys.prediction_key("d", ["a", "b"], samples[::-1], all_, plan),
        keys.prediction_key("d", ["a", "b"], samples, [True, False], plan),
        keys.prediction_key("d", ["a", "b"], samples, all_, plan.model_copy(update={"texts": 100})),
        keys.prediction_key("d", ["a", "b"], samples, all_, plan.model_copy(update={"seed": 1})),
    }
    assert len(found) == 8


def test_where_a_text_lies_is_in_no_key(prose: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.txt"
    moved.write_bytes(prose.read_bytes())
    here, there = (make_plan("seed_id", "smoke", overrides={"corpus.name": f"text:{path}"}) for path in (prose, moved))
    found = [resolve_keys(plan) for plan in (here, there)]
    for a, b in zip(*found, strict=True):
        assert (a.corpus, a.model, a.samples) == (b.corpus, b.model, b.samples)
    metas = {of.corpus: {"digest": "d"} for of in found[0]}
    assert protocol_digest(here, found[0], metas) == protocol_digest(there, found[1], metas)

    moved.write_bytes(prose.read_bytes() + b" ")
    changed = resolve_keys(there)
    assert {of.model for of in changed}.isdisjoint(of.model for of in found[0])


def test_a_stage_version_moves_its_key_and_those_behind(
    settings: Settings, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_keys(settings, plan, IDENTITY)
    monkeypatch.setitem(keys.VERSIONS, "sample", 99)
    after = all_keys(settings, plan, IDENTITY)
    assert {name for name in before if before[name] != after[name]} == DRAWING


def test_variants_of_one_model_share_it_and_no_random_number(prose: Path) -> None:
    found = resolve_keys(make_plan("null_id", "smoke", overrides={"corpus.name": f"text:{prose}"}))
    assert len({of.model for of in found}) == 1
    assert len({of.samples for of in found}) == 4
    plan = make_plan("null_id", "smoke")
    streams = {
        keys.stream_name(of.model, variant.settings, plan.seed)
        for of, variant in zip(found, plan.variants, strict=True)
    }
    assert len(streams) == 4


def test_reruns_are_models_of_their_own(prose: Path) -> None:
    found = resolve_keys(make_plan("null_run_id", "smoke", overrides={"corpus.name": f"text:{prose}"}))
    assert len({of.model for of in found}) == 4
    assert len({of.corpus for of in found}) == 1


def test_the_protocol_holds_what_figures_depend_on(prose: Path, tmp_path: Path) -> None:
    def protocol(task: str = "seed_id", seed: int = 0, limit: int | None = None, **overrides: str) -> str:
        names = {name.replace("__", "."): value for name, value in overrides.items()}
        plan = make_plan(task, "smoke", overrides={"corpus.name": f"text:{prose}", **names}, seed=seed, limit=limit)
        resolved = resolve_keys(plan)
        return protocol_digest(plan, resolved, {of.corpus: {"digest": "d"} for of in resolved})

    assert protocol() == protocol()
    different = [
        protocol(),
        protocol("init_seed_id"),
        protocol(seed=1),
        protocol(limit=100),
        protocol(split__test_every="5"),
        protocol(optimizer__lr="1e-3"),
        protocol(sampling__temperature="0.9"),
    ]
    assert len(set(different)) == len(different)


def test_a_task_file_elsewhere_is_the_same_task(tmp_path: Path) -> None:
    from natfp_bench.base import resources

    copy = tmp_path / "seed_id.yaml"
    copy.write_bytes((resources.tasks() / "seed_id.yaml").read_bytes())
    assert plan_file(copy, "smoke") == make_plan("seed_id", "smoke")


def test_more_rows_of_a_backend_are_another_block() -> None:
    """A backend's last block has no more rows than were wanted, so a larger run must not take it for its own."""
    settings = next(iter(make_plan("null_id", "smoke").variants)).settings
    served = settings.model_copy(update={"source": SourceSpec(kind="lm_eval", model="hf")})
    few, more = (keys.sample_keys(served, 0, texts, "m") for texts in (140, 250))
    assert [len(few), len(more)] == [2, 3]
    assert few[0] == more[0]
    assert few[1] != more[1]
