"""Plans: one factor by construction, and sizes by formula."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plan_tasks import TRAINED, flat
from trainings import changed

from natfp_bench.base import records, yaml_source
from natfp_bench.base.errors import SpecError
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan, Variant, check_one_factor, differing, parameters, values_of
from natfp_bench.plan.settings import ModelSpec, Settings

TASKS, PRESETS = sorted(spec.trained_tasks()), sorted(spec.preset_files())
SEEDS = {"seeds.init", "seeds.data_order", "seeds.dropout"}


def usual(task: str, preset: str) -> dict[str, Any]:
    """Settings of a preset as a task changes them, by dotted path, without the values of levels."""
    data = yaml_source.load(spec.preset_files()[preset]).data["settings"]
    for section, given_ in spec.load_task(spec.task_files()[task])[0].settings.items():
        data[section] = data.get(section, {}) | given_
    return values_of(Settings.model_validate_json(json.dumps(data)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("task", TASKS)
def test_one_factor_by_construction(task: str, preset: str) -> None:
    """The claim of the whole benchmark, checked without the package's own check."""
    plan = make_plan(task, preset)
    fields = set(plan.task.factor.fields)
    levels = list(plan.task.factor.levels)
    at = {(variant.level, variant.replicate): flat(variant) for variant in plan.variants}
    assert list(at) == [(level, replicate) for replicate in range(plan.replicates) for level in levels]
    for (level, replicate), mine in at.items():
        for (other_level, other_replicate), other in at.items():
            different = {path for path in mine if mine[path] != other[path]}
            if level == other_level:
                varied = set() if plan.task.factor.own_seeds else fields
                nuisance = set(plan.task.nuisance) or SEEDS - varied
                if plan.task.nuisance:
                    assert different <= nuisance
                    assert bool(different) == (replicate != other_replicate)
                else:
                    assert different == (nuisance if replicate != other_replicate else set())
            elif replicate == other_replicate:
                assert different
                assert different <= fields
    base = usual(task, preset)
    for level in levels:
        for path, value in plan.task.factor.values(level).items():
            if value == "match":
                assert path == "model.feed_forward"
            elif isinstance(value, str) and value.startswith("x"):
                # The bundled relative values need no rounding at any preset.
                assert at[level, 0][path] == pytest.approx(base[path] * float(value[1:]), rel=1e-12)
            else:
                assert at[level, 0][path] == value
        assert {path for path, value in at[level, 0].items() if value != base[path]} <= fields | set(plan.task.nuisance)
    for path in fields:
        assert len({at[level, 0][path] for level in levels}) > 1
    check_one_factor(plan.variants, plan.task.factor, plan.task.nuisance)
    assert len({records.digest(variant.settings) for variant in plan.variants}) == len(plan.variants)
    assert len({variant.name for variant in plan.variants}) == len(plan.variants)
    assert plan.targets == (("level",) if plan.replicates == 1 else ("level", "instance"))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_sound(preset: str) -> None:
    plan = make_plan("seed_id", preset)
    for variant in plan.variants:
        set_ = variant.settings
        assert set_.steps >= 20
        assert 0 < set_.schedule.warmup_tokens <= set_.budget.tokens / 5
        # Whole blocks, so that every drawn text is used.
        assert plan.texts % set_.sampling.block == 0
        assert plan.texts // plan.split.test_every >= 50
        assert set_.sampling.temperature == 1
        assert (set_.sampling.top_k, set_.sampling.top_p) == (0, 1)
        assert set_.model.width // set_.model.heads >= 8
        if set_.sampling.prompt_characters:
            # Each text continues a prompt of its own, so that no test prompt is repeated.
            assert set_.corpus.heldout_documents >= plan.texts


def _set(variant: Variant, path: str, value: Any) -> Variant:
    data = variant.settings.model_dump()
    at = data
    *sections, name = path.split(".")
    for section in sections:
        at = at[section]
    at[name] = value
    return variant.model_copy(update={"settings": Settings.model_construct(**_nested(Settings, data))})


def _nested(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Build records without validation, so that any field can have any value."""
    found = {}
    for name, value in data.items():
        inner = model.model_fields[name].annotation
        is_record = isinstance(inner, type) and issubclass(inner, records.Record)
        found[name] = inner.model_construct(**_nested(inner, value)) if is_record else value
    return found


@settings(max_examples=150, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    path=st.sampled_from(TRAINED),
    which=st.integers(0, 100),
    everywhere=st.booleans(),
)
@example(task="init_seed_id", path="seeds.init", which=0, everywhere=False)
@example(task="data_order_id", path="seeds.init", which=1, everywhere=False)
@example(task="null_id", path="sampling.temperature", which=3, everywhere=False)
def test_a_plan_that_breaks_the_rule_is_refused(task: str, path: str, which: int, everywhere: bool) -> None:
    plan = PLANS[task]
    fields, nuisance = plan.task.factor.fields, plan.task.nuisance
    victim = plan.variants[which % len(plan.variants)]
    new = _other(flat(victim)[path])
    if everywhere:
        # The same change in all variants is another experiment, still with one factor.
        if path not in fields and path not in SEEDS and path not in nuisance:
            check_one_factor([_set(variant, path, new) for variant in plan.variants], plan.task.factor, nuisance)
        return
    broken = [_set(variant, path, new) if variant is victim else variant for variant in plan.variants]
    if path in fields and (plan.replicates == 1 or plan.task.factor.own_seeds):
        return  # merely another value of the factor
    with pytest.raises(SpecError) as caught:
        check_one_factor(broken, plan.task.factor, nuisance)
    assert any(repr(path) in fault for fault in caught.value.faults)


def _other(value: Any) -> Any:
    return f"{value}x" if isinstance(value, str) else (not value) if isinstance(value, bool) else value + 12_345


PLANS = {task: make_plan(task, "smoke") for task in TASKS}


def test_a_factor_that_does_not_vary_is_refused() -> None:
    plan = PLANS["null_id"]
    same = [_set(variant, "sampling.stream", 0) for variant in plan.variants]
    with pytest.raises(SpecError, match=r"'sampling\.stream' does not vary"):
        check_one_factor(same, plan.task.factor)


def test_differing_names_the_paths() -> None:
    first, second = PLANS["seed_id"].variants[:2]
    assert differing([first, second]) == sorted(SEEDS)
    assert differing([first, _set(first, "model.width", 1)]) == ["model.width"]
    assert differing([first]) == []


def test_texts_are_cut_where_tokenizers_differ() -> None:
    plans = {task: make_plan(task, "smoke") for task in ("seed_id", "tokenizer_id", "data_id")}
    assert {task: (plan.shared_tokenizer, plan.cut) for task, plan in plans.items()} == {
        "seed_id": (True, None),
        "tokenizer_id": (False, 32),
        "data_id": (True, None),
    }


def test_steps_blocks_and_tokens_by_hand() -> None:
    plain = PLANS["seed_id"].variants[0].settings  # 120 steps of 16 sequences of 32 tokens
    assert (plain.steps, plain.stop_step, plain.finetune_steps) == (120, 120, 0)
    assert (plain.unique_blocks, plain.tokens_trained) == (1920, 61_440)
    half = changed(plain, budget__stop=0.5)
    assert (half.steps, half.stop_step, half.unique_blocks, half.tokens_trained) == (120, 60, 1920, 30_720)
    twice = changed(plain, budget__epochs=2)
    assert (twice.steps, twice.unique_blocks, twice.tokens_trained) == (120, 960, 61_440)
    assert changed(plain, budget__epochs=4, budget__tokens=61_440 - 512).unique_blocks == 476
    tuned = changed(plain, finetune__share=0.25)
    assert (tuned.steps, tuned.finetune_steps, tuned.unique_blocks) == (120, 30, 1920)
    assert tuned.tokens_trained == 61_440 * 5 // 4


def test_plans_survive_json() -> None:
    for plan in PLANS.values():
        assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_the_recipe_holds_training_and_no_sampling() -> None:
    null, seeds = PLANS["null_id"].variants, PLANS["seed_id"].variants
    assert len({records.digest(variant.settings.recipe) for variant in null}) == 1
    assert len({records.digest(variant.settings.recipe) for variant in seeds}) == len(seeds)
    reruns = PLANS["null_run_id"].variants
    assert len({records.digest(variant.settings.recipe) for variant in reruns}) == len(reruns)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize(
    ("width", "layers", "heads", "feed_forward", "context", "vocabulary"),
    [(16, 1, 1, 24, 8, 257), (32, 2, 4, 64, 32, 320), (48, 3, 2, 200, 16, 999)],
)
def test_parameters_by_formula_are_those_of_the_model(
    architecture: Any, tied: bool, width: int, layers: int, heads: int, feed_forward: int, context: int, vocabulary: int
) -> None:
    from natfp_bench.models import model

    shape = ModelSpec(
        architecture=architecture,
        width=width,
        layers=layers,
        heads=heads,
        feed_forward=feed_forward,
        context=context,
        tied_embeddings=tied,
    )
    built = model.build(shape, vocabulary, 256, "tests", 0)
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters(shape, vocabulary)
