"""Plans: one factor by construction, overrides, and sizes by formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from natfp_bench.base import records, yaml_source
from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.make_plan import make_plan, plan_file
from natfp_bench.plan.plan import Plan, Variant, check_one_factor, differing, parameters
from natfp_bench.plan.settings import ModelSpec, Settings

TASKS, PRESETS = sorted(spec.trained_tasks()), sorted(spec.preset_files())
SEEDS = {"seeds.init", "seeds.data_order", "seeds.dropout"}


TRAINED = [path for path in spec.leaves(Settings) if not path.startswith("source.")]
"""Settings that a plan tells of models that are trained here."""


def flat(variant: Variant) -> dict[str, Any]:
    return dict(records.flatten(variant.settings.model_dump()))


def usual(task: str, preset: str) -> dict[str, Any]:
    """Settings of a preset as a task changes them, by dotted path, before any level has its say."""
    data = yaml_source.load(spec.preset_files()[preset]).data["settings"]
    for section, given_ in spec.load_task(spec.task_files()[task])[0].settings.items():
        data[section] = data.get(section, {}) | given_
    return dict(records.flatten(Settings.model_validate_json(json.dumps(data)).model_dump()))


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
                nuisance = SEEDS - fields if replicate != other_replicate else set()
                assert different == nuisance
            elif replicate == other_replicate:
                assert different
                assert different <= fields
    base = usual(task, preset)
    for level in levels:
        for path, value in plan.task.factor.values(level).items():
            if value == "match":
                assert path == "model.feed_forward"
            elif isinstance(value, str) and value.startswith("x"):
                # Relative values are written so that no preset needs rounding.
                assert at[level, 0][path] == pytest.approx(base[path] * float(value[1:]), rel=1e-12)
            else:
                assert at[level, 0][path] == value
        assert {path for path, value in at[level, 0].items() if value != base[path]} <= fields
    for path in fields:
        assert len({at[level, 0][path] for level in levels}) > 1
    check_one_factor(plan.variants, plan.task.factor.fields)
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
        # Whole blocks, so that no drawn row is thrown away.
        assert plan.texts % set_.sampling.block == 0
        assert plan.texts // plan.split.test_every >= 50
        assert set_.sampling.temperature == 1
        assert (set_.sampling.top_k, set_.sampling.top_p) == (0, 1)
        assert set_.model.width // set_.model.heads >= 8
        if set_.sampling.prompt_characters:
            # Each text continues a prompt of its own, or test prompts would come again.
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
    """Records built without validation, so that any value may stand anywhere."""
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
    fields = plan.task.factor.fields
    victim = plan.variants[which % len(plan.variants)]
    new = _other(flat(victim)[path])
    if everywhere:
        # What changes alike everywhere is another experiment, and still one factor.
        if path not in fields and path not in SEEDS:
            check_one_factor([_set(variant, path, new) for variant in plan.variants], fields)
        return
    broken = [_set(variant, path, new) if variant is victim else variant for variant in plan.variants]
    if path in fields and plan.replicates == 1:
        return  # merely another value of the factor
    with pytest.raises(SpecError) as caught:
        check_one_factor(broken, fields)
    assert any(repr(path) in fault for fault in caught.value.faults)


def _other(value: Any) -> Any:
    return f"{value}x" if isinstance(value, str) else (not value) if isinstance(value, bool) else value + 12_345


PLANS = {task: make_plan(task, "smoke") for task in TASKS}


def test_a_factor_that_does_not_vary_is_refused() -> None:
    plan = PLANS["null_id"]
    same = [_set(variant, "sampling.stream", 0) for variant in plan.variants]
    with pytest.raises(SpecError, match=r"'sampling\.stream' does not vary"):
        check_one_factor(same, plan.task.factor.fields)


def test_differing_names_the_paths() -> None:
    first, second = PLANS["seed_id"].variants[:2]
    assert differing([first, second]) == sorted(SEEDS)
    assert differing([first, _set(first, "model.width", 1)]) == ["model.width"]
    assert differing([first]) == []


def faults(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        call()
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {"seeds.init": "3"},
            ["--set seeds.init=3: 'seeds.init' is what init_seed_id varies; its values are the task's levels"],
        ),
        (
            {"optimizer.lrr": "3"},
            ["--set optimizer.lrr=3: unknown setting 'optimizer.lrr' (did you mean 'optimizer.lr'?)"],
        ),
        ({"lr": "3"}, ["--set lr=3: unknown setting 'lr' (did you mean 'optimizer.lr' or 'finetune.lr'?)"]),
        ({"width": "3"}, ["--set width=3: unknown setting 'width' (did you mean 'model.width'?)"]),
        ({"model": "3"}, ["--set model=3: unknown setting 'model' (did you mean 'source.model'?)"]),
        ({"optimizer.lr": "no"}, ['--set optimizer.lr=no: settings.optimizer.lr must be a valid number, not "no"']),
        ({"model.width": "64.0"}, ["--set model.width=64.0: settings.model.width must be a valid integer, not 64.0"]),
        ({"model.width": "33"}, ["--set model.width=33: settings.model: width 33 is not a multiple of heads 2"]),
        ({"model.width": "[64]"}, ["--set model.width=[64]: takes a number, true, false or a word"]),
        (
            {"budget.tokens": "10"},
            ["--set budget.tokens=10: settings: budget.tokens 10 is less than one step of 512 tokens"],
        ),
        (
            {"sampling.max_tokens": "33"},
            ["--set sampling.max_tokens=33: settings: sampling.max_tokens 33 is over model.context's room of 32"],
        ),
        ({"replicates": "0"}, ["--set replicates=0: replicates must be greater than 0, not 0"]),
        (
            {"split.test_every": "1"},
            ["--set split.test_every=1: split.test_every must be greater than or equal to 2, not 1"],
        ),
        ({"summary": "x"}, ["--set summary=x: unknown setting 'summary'"]),
        ({"model.heads": "3"}, ["--set model.heads=3: settings.model: width 32 is not a multiple of heads 3"]),
        # all at once
        (
            {"seeds.init": "3", "a": "1", "model.width": "["},
            ["--set seeds.init=3", "--set a=1", "--set model.width=["],
        ),
        ({"model.width": "x", "optimizer.lr": "-1"}, ["--set model.width=x", "--set optimizer.lr=-1"]),
    ],
)
def test_overrides_that_are_wrong(overrides: dict[str, str], expected: list[str]) -> None:
    found = faults(lambda: make_plan("init_seed_id", "smoke", overrides=overrides))
    assert len(found) == len(expected)
    assert all(fault.startswith(begin) for fault, begin in zip(found, expected, strict=True))
    assert len(expected) > 1 or found == expected


def test_overrides_reach_every_variant() -> None:
    overrides = {"optimizer.lr": "1e-3", "seeds.data_order": "7", "corpus.name": "text:a.txt", "split.test_every": "5"}
    plan = make_plan("init_seed_id", "smoke", overrides=overrides | {"replicates": "3"})
    assert plan.replicates == 3
    assert plan.split.test_every == 5
    assert {variant.settings.optimizer.lr for variant in plan.variants} == {0.001}
    assert {variant.settings.corpus.name for variant in plan.variants} == {"text:a.txt"}
    assert [variant.settings.seeds.data_order for variant in plan.variants] == [7] * 3 + [8] * 3 + [9] * 3
    assert plan.overrides["optimizer.lr"] == 0.001
    # An override's number of replicates wins over the task's own.
    assert make_plan("null_id", "smoke").replicates == 1
    assert make_plan("null_id", "smoke", overrides={"replicates": "2"}).replicates == 2


def test_replicates_need_a_nuisance_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    what = "varies every seed that matters, so its replicates would be alike; it takes `replicates: 1`"
    assert faults(lambda: make_plan("seed_id", "smoke", overrides={"replicates": "2"})) == [
        f"--set replicates=2: seed_id {what}"
    ]
    text = "task: t\nversion: 1\nsummary: s\nreplicates: 2\nfactor:\n  name: f\n"
    text += "  fields: [seeds.init, seeds.data_order, seeds.dropout]\n  levels: {a: 0, b: 1}\n"
    Path("t.yaml").write_text(text)
    assert faults(lambda: plan_file(Path("t.yaml"), "smoke")) == [f"t.yaml:4: t {what}"]
    Path("t.yaml").write_text(text.replace("replicates: 2\n", ""))
    assert faults(lambda: plan_file(Path("t.yaml"), "smoke"))[0].endswith(f"smoke.yaml:11: t {what}")


def test_a_seed_that_does_nothing_is_neither_factor_nor_nuisance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout its seed changes nothing: replicates by it alone would be one model counted several times."""
    monkeypatch.chdir(tmp_path)
    text = "task: t\nversion: 1\nsummary: s\nreplicates: 2\nfactor:\n  name: f\n"
    text += "  fields: [seeds.init, seeds.data_order]\n  levels: {a: 0, b: 1}\n"
    Path("t.yaml").write_text(text)
    assert faults(lambda: plan_file(Path("t.yaml"), "smoke"))[0].startswith(
        "t.yaml:4: t varies every seed that matters"
    )
    assert len(plan_file(Path("t.yaml"), "smoke", overrides={"model.dropout": "0.1"}).variants) == 4
    assert len(plan_file(Path("t.yaml"), "smoke", overrides={"replicates": "1"}).variants) == 2
    Path("t.yaml").write_text(text.replace("seeds.init, seeds.data_order", "seeds.dropout"))
    assert faults(lambda: plan_file(Path("t.yaml"), "smoke")) == [
        "t.yaml:7: 'seeds.dropout' changes nothing while model.dropout is 0"
    ]
    assert len(plan_file(Path("t.yaml"), "smoke", overrides={"model.dropout": "0.1"}).variants) == 4


def test_levels_may_be_what_makes_a_setting_fit(tmp_path: Path) -> None:
    """Texts of 64 tokens do not fit the preset's context of 32, but they fit the context of every level."""
    path = tmp_path / "context_id.yaml"
    path.write_text(
        "task: context_id\nversion: 1\nsummary: s\nsettings: {sampling: {max_tokens: 64}}\n"
        "factor: {name: context, fields: [model.context], levels: {short: 64, long: 128}}\n"
    )
    assert {variant.settings.model.context for variant in plan_file(path, "smoke").variants} == {64, 128}
    path.write_text(path.read_text().replace("short: 64", "short: 33"))
    found = faults(lambda: plan_file(path, "smoke"))
    assert len(found) == 1
    what = "settings: sampling.max_tokens 64 is over model.context's room of 33 (level 'short')"
    assert found[0].endswith(f"context_id.yaml:5: {what}")


def planned(folder: Path, fields: str, levels: str, **options: Any) -> Plan:
    """Plan a task of some fields and levels at the preset `smoke`."""
    text = f"task: t\nversion: 1\nsummary: s\nfactor:\n  name: f\n  fields: [{fields}]\n  levels: {{{levels}}}\n"
    (folder / "t.yaml").write_text(text)
    return plan_file(folder / "t.yaml", "smoke", **options)


def values(plan: Plan, path: str) -> list[Any]:
    """A setting at each level of the first replicate."""
    return [flat(variant)[path] for variant in plan.variants if variant.replicate == 0]


def test_a_relative_value_is_a_multiple_of_what_the_preset_says(tmp_path: Path) -> None:
    assert values(planned(tmp_path, "optimizer.lr", "a: x0.25, b: x1, c: x2.5"), "optimizer.lr") == [1e-3, 4e-3, 1e-2]
    assert values(planned(tmp_path, "model.width", "a: x0.5, b: x2"), "model.width") == [16, 64]
    found = values(planned(tmp_path, "model.layers", "a: x0.6, b: x1.9, c: x3"), "model.layers")
    assert found == [1, 4, 6], "what is counted is rounded to whole numbers"
    assert all(isinstance(layers, int) for layers in found)
    assert values(planned(tmp_path, "schedule.warmup_tokens", "a: x0, b: x2"), "schedule.warmup_tokens") == [0, 10_000]
    # A level may mix both kinds.
    mixed = "model.width, model.heads", "a: {model.width: x0.5, model.heads: 1}, b: {model.width: x1, model.heads: 4}"
    assert values(planned(tmp_path, *mixed), "model.width") == [16, 32]
    assert values(planned(tmp_path, *mixed), "model.heads") == [1, 4]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
def test_a_matching_size_gives_the_nearest_number_of_parameters(tmp_path: Path, architecture: str) -> None:
    levels = "usual: {model.layers: x1, model.feed_forward: x1}, deep: {model.layers: 3, model.feed_forward: match}, "
    levels += "shallow: {model.layers: 1, model.feed_forward: match}"
    plan = planned(tmp_path, "model.layers, model.feed_forward", levels, overrides={"model.architecture": architecture})
    usual_, *others = [variant.settings.model for variant in plan.variants if variant.replicate == 0]
    goal = parameters(usual_, 320)
    for shape in others:
        nearest, below, above = (
            abs(parameters(shape.model_copy(update={"feed_forward": shape.feed_forward + step}), 320) - goal)
            for step in (0, -1, 1)
        )
        assert nearest <= min(below, above)
        assert shape.feed_forward != usual_.feed_forward
    assert [shape.layers for shape in others] == [3, 1]


def test_matching_holds_across_architectures(tmp_path: Path) -> None:
    levels = ", ".join(
        f"{name}: {{model.architecture: {name}, model.feed_forward: match}}" for name in ("gpt2", "llama", "gpt_neox")
    )
    sizes = values(planned(tmp_path, "model.architecture, model.feed_forward", levels), "model.feed_forward")
    assert sizes[1] == 64, "the preset's own architecture matches itself exactly"
    assert len(set(sizes)) == 3


def test_replicates_are_held_out_where_there_are_any(tmp_path: Path) -> None:
    def holds_out(task: str, **overrides: str) -> bool:
        given_ = {path.replace("__", "."): value for path, value in overrides.items()}
        return make_plan(task, "smoke", overrides=given_).holds_out_replicates

    assert holds_out("lr_id")
    assert holds_out("lr_id", split__level="unseen_replicate")
    assert not holds_out("lr_id", split__level="unseen_prompt")
    assert not holds_out("lr_id", replicates="1")
    # Seed 1 of one replicate has nothing in common with seed 1 of another.
    for task in ("init_seed_id", "data_order_id", "dropout_seed_id", "finetune_seed_id"):
        assert not holds_out(task)
    assert not holds_out("null_id", replicates="2")
    assert not holds_out("null_run_id", replicates="2")
    what = "a seed, whose levels mean nothing on another replicate: take unseen_prompt"
    assert faults(lambda: holds_out("init_seed_id", split__level="unseen_replicate")) == [
        f"--set split.level=unseen_replicate: init_seed_id varies {what}"
    ]
    assert faults(lambda: holds_out("seed_id", split__level="unseen_replicate")) == [
        "--set split.level=unseen_replicate: unseen_replicate takes 2 replicates or more, not 1",
        f"--set split.level=unseen_replicate: seed_id varies {what}",
    ]
    (tmp_path / "presets").mkdir()
    preset = (spec.preset_files()["smoke"]).read_text().replace("include: quick.yaml", "include: quick_.yaml")
    (tmp_path / "presets" / "mine.yaml").write_text(preset + "split: {level: unseen_replicate}\n")
    (tmp_path / "presets" / "quick_.yaml").write_text(spec.preset_files()["quick"].read_text())
    [fault] = faults(lambda: make_plan("lr_id", "mine", overrides={"replicates": "1"}, include=[tmp_path]))
    assert fault.endswith("presets/mine.yaml:12: unseen_replicate takes 2 replicates or more, not 1")


def test_texts_are_cut_where_tokenizers_differ() -> None:
    plans = {task: make_plan(task, "smoke") for task in ("seed_id", "tokenizer_id", "data_id")}
    assert {task: (plan.shared_tokenizer, plan.cut) for task, plan in plans.items()} == {
        "seed_id": (True, None),
        "tokenizer_id": (False, 32),
        "data_id": (True, None),
    }


@pytest.mark.parametrize("override", [("sampling.top_k", "5"), ("sampling.top_p", "0.9")])
def test_a_truncated_sampler_has_no_likelihoods_in_other_tokens(override: tuple[str, str]) -> None:
    what = "where tokenizers differ, a truncated sampler gives no likelihoods: take top_k 0 and top_p 1"
    assert faults(lambda: make_plan("tokenizer_id", "smoke", overrides=dict([override]))) == [
        f"--set {'='.join(override)}: {what}"
    ]
    assert make_plan("lr_id", "smoke", overrides=dict([override])).shared_tokenizer


def test_steps_blocks_and_tokens_by_hand() -> None:
    def of(**given_: Any) -> Settings:
        data = make_plan("seed_id", "smoke").variants[0].settings.model_dump()
        for path, value in given_.items():
            section, name = path.split("__")
            data[section][name] = value
        return Settings.model_validate(data)

    plain = of()  # 120 steps of 16 sequences of 32 tokens
    assert (plain.steps, plain.stop_step, plain.finetune_steps) == (120, 120, 0)
    assert (plain.unique_blocks, plain.tokens_trained) == (1920, 61_440)
    half = of(budget__stop=0.5)
    assert (half.steps, half.stop_step, half.unique_blocks, half.tokens_trained) == (120, 60, 1920, 30_720)
    twice = of(budget__epochs=2)
    assert (twice.steps, twice.unique_blocks, twice.tokens_trained) == (120, 960, 61_440)
    assert of(budget__epochs=4, budget__tokens=61_440 - 512).unique_blocks == 476
    tuned = of(finetune__share=0.25)
    assert (tuned.steps, tuned.finetune_steps, tuned.unique_blocks) == (120, 30, 1920)
    assert tuned.tokens_trained == 61_440 * 5 // 4


def test_limit_and_seed() -> None:
    assert make_plan("seed_id", "smoke", limit=50).texts == 50
    assert make_plan("seed_id", "smoke", limit=10**6).texts == 200
    assert make_plan("seed_id", "smoke", limit=8).texts == 8
    for limit in (7, 0, -1):
        with pytest.raises(UserError, match=f"--limit {limit} leaves too few texts"):
            make_plan("seed_id", "smoke", limit=limit)
    with pytest.raises(UserError, match=r"sampling\.texts 4 leaves too few texts"):
        make_plan("seed_id", "smoke", overrides={"sampling.texts": "4"})
    with pytest.raises(UserError, match="--seed -1 is negative"):
        make_plan("seed_id", "smoke", seed=-1)
    for task, preset, nearest in (("sed_id", "smoke", "seed_id"), ("seed_id", "smok", "smoke")):
        with pytest.raises(UserError, match=f"did you mean: {nearest}"):
            make_plan(task, preset)


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


def test_overview_of_an_empty_store(tmp_path: Path) -> None:
    from natfp_bench.pipeline.overview import overview

    plan = make_plan("null_id", "smoke", limit=50)
    found = overview(plan, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    # One model, sampled four times: 120 whole steps of 16 sequences of 32 tokens.
    assert [variant.tokens for variant in found.variants] == [120 * 16 * 32] * 4
    assert found.models_to_train == 1
    assert found.tokens_to_train == 120 * 16 * 32
    assert found.training_seconds is None
    assert [variant.differs for variant in found.variants] == [{"sampling.stream": stream} for stream in range(4)]
    assert not any(variant.trained or variant.sampled for variant in found.variants)
    assert set(found.protocol) == set(TRAINED) - {"sampling.stream"}
    shape = plan.variants[0].settings
    size = parameters(shape.model, shape.tokenizer.vocabulary)
    assert found.disk_bytes == 4 * found.tokens_to_train + 4 * size + 4 * 50 * 32 * 12


@pytest.mark.parametrize(
    ("task", "models", "tokens"),
    [
        ("checkpoint_id", 4, 61_440),  # each step of the run once
        ("finetune_seed_id", 4, 61_440 + 3 * 15_360),  # a base, and three of a quarter behind it
        ("token_budget_id", 3, 61_440 * 7 // 4),  # runs of their own
        ("quantization_id", 1, 61_440),
    ],
)
def test_overview_counts_what_is_trained(tmp_path: Path, task: str, models: int, tokens: int) -> None:
    from natfp_bench.pipeline.overview import overview

    found = overview(make_plan(task, "smoke", overrides={"replicates": "1"}), tmp_path)
    assert (found.models_to_train, found.tokens_to_train) == (models, tokens)
    assert not any(variant.trained for variant in found.variants)


def test_overview_of_a_store_that_holds_everything(bench: Any, seed_run: Any) -> None:
    from natfp_bench.pipeline.overview import overview

    found = overview(bench.plan("seed_id"), bench.store)
    assert all(variant.trained and variant.sampled for variant in found.variants)
    assert (found.models_to_train, found.tokens_to_train, found.training_seconds) == (0, 0, 0)
    # A model not yet there is timed by those of its shape; one of another shape by none.
    other = overview(bench.plan("seed_id", seed=1), bench.store)
    assert other.models_to_train == 4
    assert other.training_seconds is not None
    assert other.training_seconds > 0
    assert overview(bench.plan("seed_id", overrides={"model.layers": "1"}), bench.store).training_seconds is None
