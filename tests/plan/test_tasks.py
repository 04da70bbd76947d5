"""The suite: every bundled task is as its file promises, at every preset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from bench import BRIEF
from transformers import AutoModelForCausalLM

from natfp_bench.attributors import registry
from natfp_bench.base.errors import SpecError
from natfp_bench.corpus import chronicle
from natfp_bench.models import model
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan, no_trace, parameters
from natfp_bench.plan.settings import Settings

if TYPE_CHECKING:
    from bench import Bench

TASKS, PRESETS = sorted(spec.trained_tasks()), sorted(spec.preset_files())


def plans(*presets: str) -> list[Plan]:
    return [make_plan(task, preset) for task in TASKS for preset in presets or PRESETS]


def at_levels(plan: Plan) -> dict[str, Settings]:
    """Settings of the first replicate, by level."""
    return {variant.level: variant.settings for variant in plan.variants if variant.replicate == 0}


def size(settings: Settings) -> int:
    """Number of parameters of the model that transformers builds; its weights take no memory."""
    with torch.device("meta"):
        config = model.config(settings.model, settings.tokenizer.vocabulary, 256)
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def test_the_suite_covers_the_training_conditions() -> None:
    varied = {path for task in TASKS for path in make_plan(task, "smoke").task.factor.fields}
    assert varied >= {
        *("seeds.init", "seeds.data_order", "seeds.dropout", "finetune.seed"),
        *("optimizer.name", "optimizer.lr", "optimizer.weight_decay", "optimizer.clip"),
        *("schedule.name", "schedule.warmup_tokens", "model.dropout"),
        *("budget.tokens", "budget.batch", "budget.epochs", "budget.stop"),
        *("model.width", "model.layers", "model.feed_forward", "model.architecture"),
        *("tokenizer.vocabulary", "numerics.dtype", "serve.quantization", "sampling.temperature"),
        *("corpus.topics", "sampling.stream", "rerun"),
        *("derive.prune", "derive.merge", "derive.average", "teacher.run"),
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_summary_and_tags(task: str) -> None:
    found = spec.load_task(spec.task_files()[task])[0]
    assert found.version == 1
    assert found.summary[0].isupper()
    assert found.summary[-1] in "?."
    assert len(found.tags) >= 1
    assert (found.control is not None) == ("control" in found.tags)
    assert len(found.factor.levels) <= 5 or {"many", "crossed"} & set(found.tags)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_matched_sizes_match_at_every_preset(task: str, preset: str) -> None:
    plan = make_plan(task, preset)
    promise = plan.task.factor.matched
    if promise is None:
        assert "one parameter count" not in plan.task.summary
        return
    sizes = {level: size(settings) for level, settings in at_levels(plan).items()}
    assert max(sizes.values()) <= min(sizes.values()) * (1 + promise), sizes
    assert len({(s.model.architecture, s.model.layers, s.model.width) for s in at_levels(plan).values()}) == len(sizes)


def test_the_formula_of_parameters_holds_for_every_bundled_model() -> None:
    shapes = {(s.model, s.tokenizer.vocabulary): s for plan in plans() for s in at_levels(plan).values()}
    assert len(shapes) > 30
    for (shape, vocabulary), settings in shapes.items():
        assert parameters(shape, vocabulary) == size(settings)


@pytest.mark.parametrize("preset", PRESETS)
def test_levels_are_as_the_notes_of_their_tasks_say(preset: str) -> None:
    def of(task: str) -> list[Settings]:
        return list(at_levels(make_plan(task, preset)).values())

    assert len({s.tokens_trained for s in of("batch_size_id")}) == 1
    assert len({s.unique_blocks for s in of("batch_size_id")}) == 1
    assert len({s.tokens_trained for s in of("repeat_id")}) == 1
    blocks = [s.unique_blocks for s in of("repeat_id")]
    assert blocks == [blocks[0], blocks[0] // 2, blocks[0] // 4]
    stops = of("checkpoint_id")
    assert len({s.steps for s in stops}) == len({s.unique_blocks for s in stops}) == 1
    # To the nearest step.
    assert [4 * s.stop_step for s in stops] == pytest.approx([s.steps * part for part, s in enumerate(stops, 1)], abs=2)
    assert len({s.schedule for s in of("token_budget_id")}) == 1
    assert {s.finetune_steps > 0 for s in of("finetune_seed_id")} == {True}
    assert {s.model.width // s.model.heads for s in of("size_id")} == {
        of("size_id")[1].model.width // of("size_id")[1].model.heads
    }
    shape = of("size_id")[1].model
    usual = of("seed_id")[0].model
    assert shape == usual, "the middle size is the preset's"


def test_topics_of_the_positive_control_are_disjoint_and_known() -> None:
    topics = [s.corpus.topics.split(",") for s in at_levels(make_plan("data_id", "smoke")).values()]
    flat = [topic for some in topics for topic in some]
    assert len(flat) == len(set(flat))
    assert set(flat) <= set(chronicle.TOPICS)
    assert len({len(some) for some in topics}) == 1


def test_levels_of_seeds_and_null_tasks_have_no_meaning_across_replicates() -> None:
    found = {task for task in TASKS if no_trace(make_plan(task, "smoke").task)}
    assert found == {
        "seed_id",
        "seeds_crossed",
        "init_seed_id",
        "data_order_id",
        "dropout_seed_id",
        "finetune_seed_id",
        "null_id",
        "null_run_id",
        "fork_id",
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_factors_are_tested_on_held_out_replicates(preset: str) -> None:
    for task in TASKS:
        plan = make_plan(task, preset)
        assert plan.holds_out_replicates == (not no_trace(plan.task))
        varied = set() if plan.task.factor.own_seeds else set(plan.task.factor.fields)
        alone = plan.replicates == 1 or plan.task.nuisance
        assert alone or not {"seeds.init", "seeds.data_order"} <= varied


def test_levels_that_mean_nothing_have_seeds_of_their_own() -> None:
    plan = make_plan("null_factor_id", "quick", overrides={"replicates": "12"})
    for name in ("init", "data_order", "dropout"):
        assert len({getattr(variant.settings.seeds, name) for variant in plan.variants}) == 36
    with pytest.raises(
        SpecError, match=r"null_factor_id\.yaml:\d+: seeds\.init: 101 replicates of two levels would share"
    ):
        make_plan("null_factor_id", "quick", overrides={"replicates": "101"})


@pytest.mark.parametrize(
    ("control", "fields", "levels"),
    [("", "seeds.init", "{a: 0, b: 9}"), ("negative", "optimizer.lr", "{a: 1e-3, b: 2e-3}")],
)
def test_only_a_control_of_seeds_has_levels_that_mean_nothing(
    tmp_path: Path, control: str, fields: str, levels: str
) -> None:
    factor = f"{{name: f, own_seeds: true, fields: [{fields}], levels: {levels}}}"
    given = f"control: {control}\n" if control else ""
    path = tmp_path / "t.yaml"
    path.write_text(f"task: t\nversion: 1\nsummary: s\n{given}factor: {factor}\nreplicates: 2\n")
    with pytest.raises(SpecError, match="only a negative control that varies seeds alone can have own_seeds"):
        make_plan(path, "smoke")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_reference_attributor_is_fast_and_not_a_floor(preset: str) -> None:
    analysis = make_plan("lr_id", preset).analysis
    [baseline] = registry.find(analysis.reference)
    assert (baseline.card.cost, baseline.card.floor) == ("fast", False)
    assert len(analysis.transforms) == 6
    assert analysis.transfer


@pytest.mark.parametrize("task", TASKS)
def test_replicates_suffice_for_an_interval(task: str) -> None:
    for preset in ("quick", "standard", "paper"):
        plan = make_plan(task, preset)
        assert plan.replicates >= 3 or not plan.holds_out_replicates


@pytest.mark.slow
def test_tokenizers_are_identified_without_a_ceiling(bench: Bench) -> None:
    # The prose of the tests is too small for the largest vocabulary.
    overrides = BRIEF | {"corpus.name": "chronicle"}
    result, _ = bench.run("tokenizer_id", overrides=overrides, baselines="majority,naive_bayes")
    assert {s.attributor.name for s in result.scores} == {"majority", "naive_bayes", "likelihood_reference"}
    assert [one.self_check for one in result.likelihood] == [None, None]
    assert result.mean_kl is not None
    assert result.mean_kl.unit == "byte"
    assert [variant.settings["tokenizer"]["vocabulary"] for variant in result.variants[:3]] == [257, 320, 640]
    [score] = [s for s in result.scores if (s.attributor.name, s.split) == ("naive_bayes", "seen_replicate")]
    assert score.metrics["accuracy"].value > 0.5
    assert result.failures == []


@pytest.mark.slow
def test_topics_are_identified_by_their_words(bench: Bench) -> None:
    overrides = {"corpus.name": "chronicle", "analysis.transfer": "false", "replicates": "1"}
    overrides |= {"budget.tokens": "409600", "sampling.texts": "600"}
    result, _ = bench.run("data_id", overrides=overrides, baselines="majority,naive_bayes")
    accuracy = {s.attributor.name: s.metrics["accuracy"].value for s in result.scores}
    assert accuracy["ceiling"] > 0.9
    assert accuracy["naive_bayes"] > 0.5
    [check] = [check for check in result.checks if check.name == "naive_bayes is above the bar"]
    assert check.ok == (accuracy["naive_bayes"] > 2 / 3)
    assert len({variant.training_multiset for variant in result.variants}) == 3
    assert len({(variant.settings["corpus"]["name"], variant.parameters) for variant in result.variants}) == 1
