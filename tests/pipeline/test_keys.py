"""Keys: what determines an entry is in its key, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from every_stage import all_stages as every_stage

from natfp_bench.attributors import registry
from natfp_bench.base.records import digest
from natfp_bench.corpus.metas import TextsMeta
from natfp_bench.pipeline import lineage
from natfp_bench.pipeline.run import protocol_digest
from natfp_bench.pipeline.sources.kind import Identities, source_kind
from natfp_bench.pipeline.stages.prediction import Prediction
from natfp_bench.pipeline.stages.sample import SampleStage, TestRows
from natfp_bench.pipeline.stages.score import TextScores
from natfp_bench.pipeline.stages.stage import CorpusStage, KnownModel, Located, ModelStage, Stage
from natfp_bench.pipeline.stages.studies import Permutation, Pooled, RobustnessStudy, TrainTexts
from natfp_bench.pipeline.variants import resolve, transfers
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.settings import (
    BudgetSpec,
    CorpusSpec,
    ModelSpec,
    OptimizerSpec,
    ScheduleSpec,
    Settings,
    TokenizerSpec,
)
from natfp_bench.plan.task_files import AnalysisSpec, SplitSpec
from natfp_bench.plan.text_settings import SamplingSpec, SourceSpec

TRAINED = source_kind("train")

NOTED = TextsMeta(documents=0, bytes=0, labels={}, copies=0, digest="d")


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


class Known(Identities):
    """Corpora of one identity, so that no file is read."""

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity

    def corpus(self, spec: CorpusSpec) -> Located:
        return Located({**self.identity, **({"topics": spec.topics} if spec.topics else {})}, spec)


BASELINE = registry.find("unigram")[0].model_copy(update={"digest": "0" * 64})


def labelled(plan: Plan, samples: Any, **changes: Any) -> dict[str, Any]:
    shared = {"baseline": BASELINE, "seed": plan.seed, "labels": ("a", "b"), "samples": samples, "texts": plan.texts}
    return {**shared, "split": plan.split, "cut": plan.cut, **changes}


def all_stages(settings: Settings, plan: Plan, identity: dict[str, Any]) -> dict[str, Stage]:
    model = TRAINED.model(settings, plan, Known(identity))
    samples = (TRAINED.samples(model, settings, plan.seed, plan.texts),) * 2
    serve, threads, sampling = settings.serve, settings.numerics.threads, settings.sampling
    shared = labelled(plan, samples)
    spec = plan.analysis
    return {
        "corpus": model.corpus,
        "model": model,
        "sample": samples[0][0],
        "transfer": TestRows(model, serve, threads, sampling.draw, plan.seed, plan.texts, plan.split),
        "score": TextScores(model, serve, threads, sampling.sampler, samples, plan.texts, plan.split),
        "prediction": Prediction(**shared, known=(True, True)),
        "study": Permutation(
            **shared, fold="unseen_prompt", replicates=(0, 0), permutations=spec.permutations, refit_texts=spec.texts
        ),
    }


def all_keys(settings: Settings, plan: Plan, identity: dict[str, Any]) -> dict[str, str]:
    stages = all_stages(settings, plan, identity)
    draw, threads = settings.sampling.draw, settings.numerics.threads
    stream = lineage.stream(stages["model"].lineage, draw, settings.serve, threads, plan.seed)  # type: ignore[attr-defined]
    return {**{name: stage.key for name, stage in stages.items()}, "stream": digest(stream)}


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.fixture
def plan() -> Plan:
    made = make_plan("seed_id", "smoke")
    pinned = {"texts": 200, "split": SplitSpec(test_every=4), "analysis": AnalysisSpec(), "seed": 0}
    return made.model_copy(update=pinned)


IDENTITY = {"chronicle": 1, "seed": 0, "topics": []}


def test_golden(settings: Settings, plan: Plan) -> None:
    """A change here makes every store anew: mean it, and raise the stage's version.

    A change of the stream gives other texts for the same command, which a release must never do.
    """
    found = all_keys(settings, plan, IDENTITY)
    assert {name: key[:16] for name, key in found.items()} == GOLDEN


GOLDEN = {
    "corpus": "1e43cff35526ad61",
    "model": "80a5ffa5de123e17",
    "sample": "fe14117320031d69",
    "transfer": "ac4143442bd93b5b",
    "score": "c429ca971492d944",
    "prediction": "f5997984787cca1e",
    "study": "0dc56533f971cab1",
    "stream": "f448c86ed0a3b196",
}

DATA = {"corpus", "model", "sample", "transfer", "score", "prediction", "study", "stream"}
TRAINING = DATA - {"corpus"}
DRAWING = {"sample", "transfer", "score", "prediction", "study"}
SHAPE = {*DRAWING, "stream"}


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
        ("numerics", {"threads": 2}, TRAINING),
        ("serve", {"dtype": "bfloat16"}, SHAPE),
        ("serve", {"quantization": "int8"}, SHAPE),
        ("serve", {"batch": 1}, SHAPE),
        ("serve", {"compile": True}, SHAPE),
        ("numerics", {"micro_batch": 4}, TRAINING),
        ("numerics", {"compile": True}, TRAINING),
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
    after = all_keys(with_(settings, section, **changes), plan, IDENTITY)
    assert differing(all_keys(settings, plan, IDENTITY), after) == moved


@pytest.mark.parametrize(
    ("changes", "identity", "moved"),
    [
        ({}, {"chronicle": 1, "seed": 1}, DATA),  # a corpus counts by its content
        ({"seed": 1}, IDENTITY, TRAINING),  # and stays under another seed
        ({"split": SplitSpec(test_every=5)}, IDENTITY, {"transfer", "score", "prediction", "study"}),
        ({"analysis": AnalysisSpec(permutations=9)}, IDENTITY, {"study"}),
    ],
)
def test_what_else_a_plan_has_moves_the_keys_that_it_should(
    settings: Settings, plan: Plan, changes: dict[str, Any], identity: dict[str, Any], moved: set[str]
) -> None:
    after = all_keys(settings, plan.model_copy(update=changes), identity)
    assert differing(all_keys(settings, plan, IDENTITY), after) == moved


def test_a_study_counts_by_its_name_baseline_labels_and_fold(settings: Settings, plan: Plan) -> None:
    samples = all_stages(settings, plan, IDENTITY)["study"].samples  # type: ignore[attr-defined]
    other_code = BASELINE.model_copy(update={"digest": "1" * 64})
    found = {
        study(**labelled(plan, samples, baseline=baseline, labels=labels), fold=fold, replicates=(0, 0)).key
        for study in (Pooled, TrainTexts)
        for baseline in (BASELINE, other_code)
        for labels in (("a", "b"), ("b", "a"))
        for fold in ("unseen_prompt", "unseen_replicate")
    }
    assert len(found) == 16


def test_the_whole_corpus_counts_where_a_part_of_it_is_trained_on(settings: Settings, plan: Plan) -> None:
    corpus = all_stages(settings, plan, IDENTITY)["corpus"]
    part, whole = Located({**IDENTITY, "topics": ["mill"]}, settings.corpus), Located(IDENTITY, settings.corpus)
    found = {replace(corpus, corpus=a, whole=b).key for a in (part, whole) for b in (part, whole)}
    assert len(found) == 4


def test_test_rows_drawn_in_another_way_are_an_entry_of_their_own(settings: Settings, plan: Plan) -> None:
    usual, hot = (all_stages(one, plan, IDENTITY) for one in (settings, with_(settings, "sampling", temperature=1.3)))
    fewer = all_stages(settings, plan.model_copy(update={"texts": 100}), IDENTITY)
    known = {usual["transfer"].key, hot["transfer"].key, fewer["transfer"].key}
    known |= {stage.key for stage in TRAINED.samples(KnownModel("m"), settings, plan.seed, plan.texts)}
    assert len(known) == 5


def test_a_limit_is_a_prefix(settings: Settings, plan: Plan) -> None:
    def found(texts: int) -> list[str]:
        return [stage.key for stage in TRAINED.samples(KnownModel("m"), settings, plan.seed, texts)]

    whole = found(450)
    assert len(whole) == len(set(whole)) == 5
    for texts, blocks in {450: 5, 401: 5, 400: 4, 100: 1, 99: 1, 8: 1}.items():
        assert found(texts) == whole[:blocks]


def test_a_baseline_counts_by_its_digest_labels_and_what_it_knows(settings: Settings, plan: Plan) -> None:
    block = all_stages(settings, plan, IDENTITY)["sample"]
    samples = ((block,), (replace(block, index=1),))
    moved = BASELINE.model_copy(update={"folder": Path("elsewhere")})
    changes: list[dict[str, Any]] = [
        {},
        {"baseline": BASELINE.model_copy(update={"digest": "1" * 64})},
        {"labels": ("a/r0", "b/r0")},
        {"labels": ("a", "c")},
        {"samples": samples[::-1]},
        {"known": (True, False)},
        {"texts": 100},
        {"seed": 1},
    ]
    found = [Prediction(**{**labelled(plan, samples), "known": (True, True), **change}).key for change in changes]
    assert len(set(found)) == 8
    assert Prediction(**labelled(plan, samples, baseline=moved), known=(True, True)).key == found[0]


def test_where_a_text_lies_is_in_no_key(prose: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.txt"
    moved.write_bytes(prose.read_bytes())
    here, there = (make_plan("seed_id", "smoke", overrides={"corpus.name": f"text:{path}"}) for path in (prose, moved))
    found = [resolve(plan) for plan in (here, there)]
    for a, b in zip(*found, strict=True):
        assert (a.corpus, a.model, a.samples) == (b.corpus, b.model, b.samples)
    metas = {of.corpus: NOTED for of in found[0]}
    assert protocol_digest(here, found[0], metas) == protocol_digest(there, found[1], metas)

    moved.write_bytes(prose.read_bytes() + b" ")
    changed = resolve(there)
    assert {of.model for of in changed}.isdisjoint(of.model for of in found[0])


def test_a_stage_version_moves_its_key_and_those_behind(
    settings: Settings, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_keys(settings, plan, IDENTITY)
    monkeypatch.setattr(SampleStage, "version", 99)
    assert differing(before, all_keys(settings, plan, IDENTITY)) == DRAWING


def test_no_version_changes_a_text(settings: Settings, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    before = all_keys(settings, plan, IDENTITY)["stream"]
    for kind in (SampleStage, ModelStage, CorpusStage):
        monkeypatch.setattr(kind, "version", 99)
    assert all_keys(settings, plan, IDENTITY)["stream"] == before


def test_a_part_of_a_stage_counts_by_its_key(settings: Settings, plan: Plan) -> None:
    block = all_stages(settings, plan, IDENTITY)["sample"]
    assert replace(block, model=KnownModel(block.model.key)).key == block.key  # type: ignore[attr-defined]
    assert block.needs() == (block.model,)  # type: ignore[attr-defined]


def test_every_stage_is_told_apart() -> None:
    studies = [kind.name for kind in every_stage() if kind.kind == "study"]
    assert len(set(studies)) == len(studies) == 12


def test_variants_of_one_model_share_it_and_no_random_number(prose: Path) -> None:
    found = resolve(make_plan("null_id", "smoke", overrides={"corpus.name": f"text:{prose}"}))
    assert len({of.model for of in found}) == 1
    assert len({of.samples for of in found}) == 4
    plan = make_plan("null_id", "smoke")
    streams = {
        lineage.stream(of.model.lineage, own.sampling.draw, own.serve, own.numerics.threads, plan.seed)
        for of in found
        for own in [of.variant.settings]
    }
    assert len(streams) == 4


def test_reruns_are_models_of_their_own(prose: Path) -> None:
    found = resolve(make_plan("null_run_id", "smoke", overrides={"corpus.name": f"text:{prose}"}))
    assert len({of.model for of in found}) == 4
    assert len({of.corpus for of in found}) == 1


def test_the_protocol_holds_what_figures_depend_on(prose: Path, tmp_path: Path) -> None:
    def protocol(task: str = "seed_id", seed: int = 0, limit: int | None = None, **overrides: str) -> str:
        names = {name.replace("__", "."): value for name, value in overrides.items()}
        plan = make_plan(task, "smoke", overrides={"corpus.name": f"text:{prose}", **names}, seed=seed, limit=limit)
        resolved = resolve(plan)
        return protocol_digest(plan, resolved, {of.corpus: NOTED for of in resolved})

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
    assert make_plan(copy, "smoke") == make_plan("seed_id", "smoke")


def test_more_rows_of_a_backend_are_another_block() -> None:
    """A backend's last block has no more rows than were wanted, so a larger run must not take it for its own."""
    settings = make_plan("null_id", "smoke").variants[0].settings
    served = settings.model_copy(update={"source": SourceSpec(kind="lm_eval", model="hf")})
    few, more = (
        [stage.key for stage in source_kind("lm_eval").samples(KnownModel("m"), served, 0, texts)]
        for texts in (140, 250)
    )
    assert [len(few), len(more)] == [2, 3]
    assert few[0] == more[0]
    assert few[1] != more[1]


def test_disguises_leave_the_study_of_transforms_as_it_was(settings: Settings, plan: Plan) -> None:
    samples = all_stages(settings, plan, IDENTITY)["study"].samples  # type: ignore[attr-defined]
    shared = labelled(plan, samples) | {"fold": "unseen_prompt", "replicates": (0, 0), "refit_texts": 100}
    usual = RobustnessStudy(**shared, transforms=("lower_case", "truncated"))
    assert usual.key[:16] == "0d1e6456c48b95e8"
    assert RobustnessStudy(**shared, transforms=("lower_case", "truncated"), mixtures=True).key != usual.key
    asked = plan.model_copy(update={"analysis": AnalysisSpec(disguises=True)})
    own = plan.variants[0].settings
    more = transfers(asked, own).keys() - transfers(plan, own).keys()
    assert more == {"temperature 0.8", "top-p 0.9"}
    assert transfers(asked, own)["top-p 0.9"].sampling.top_p == 0.9
    cooler = own.model_copy(update={"sampling": own.sampling.model_copy(update={"temperature": 0.8})})
    assert "temperature 0.8" not in transfers(asked, cooler), "these are the usual texts"


def test_a_fit_may_take_more_where_there_are_many_classes(settings: Settings, plan: Plan) -> None:
    samples = all_stages(settings, plan, IDENTITY)["study"].samples  # type: ignore[attr-defined]
    shared = labelled(plan, samples)
    card = shared["baseline"].card.limits
    for classes, more in ((2, 1), (16, 1), (32, 2), (10_000, 4)):
        of = Prediction(**{**shared, "labels": tuple(map(str, range(classes)))}, known=(True, True))
        assert of.limits is not None
        assert of.limits.memory_mb == more * card.memory_mb
        assert of.limits.seconds == min(card.seconds * max(1.0, classes / 16), registry.MOST.seconds)
