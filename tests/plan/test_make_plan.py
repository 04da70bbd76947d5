"""From a task and a preset to a plan: overrides, relative values, replicates and limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plan_tasks import flat

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan import task_files as spec
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan, parameters


def faults(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        call()
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("seeds.init", "3", "init_seed_id varies 'seeds.init'; the task's levels are its values"),
        ("optimizer.lrr", "3", "unknown setting 'optimizer.lrr' (did you mean 'optimizer.lr'?)"),
        ("lr", "3", "unknown setting 'lr' (did you mean 'optimizer.lr' or 'finetune.lr'?)"),
        ("width", "3", "unknown setting 'width' (did you mean 'model.width'?)"),
        ("model", "3", "unknown setting 'model' (did you mean 'source.model'?)"),
        ("summary", "x", "unknown setting 'summary'"),
        ("optimizer.lr", "no", 'settings.optimizer.lr must be a valid number, not "no"'),
        ("model.width", "64.0", "settings.model.width must be a valid integer, not 64.0"),
        ("model.width", "33", "settings.model: width 33 is not a multiple of heads 2"),
        ("model.heads", "3", "settings.model: width 32 is not a multiple of heads 3"),
        ("model.width", "[64]", "the value must be a number, true, false or a word"),
        ("budget.tokens", "10", "settings: budget.tokens 10 is less than one step of 512 tokens"),
        (
            "sampling.max_tokens",
            "33",
            "settings: sampling.max_tokens 33 is more than the 32 that fit into model.context",
        ),
        ("replicates", "0", "replicates must be greater than 0, not 0"),
        ("split.test_every", "1", "split.test_every must be greater than or equal to 2, not 1"),
    ],
)
def test_overrides_that_are_wrong(path: str, value: str, what: str) -> None:
    found = faults(lambda: make_plan("init_seed_id", "smoke", overrides={path: value}))
    assert found == [f"--set {path}={value}: {what}"]


@pytest.mark.parametrize(
    "overrides", [{"seeds.init": "3", "a": "1", "model.width": "["}, {"model.width": "x", "optimizer.lr": "-1"}]
)
def test_all_overrides_that_are_wrong_are_named_at_once(overrides: dict[str, str]) -> None:
    found = faults(lambda: make_plan("init_seed_id", "smoke", overrides=overrides))
    assert [fault.split(": ")[0] for fault in found] == [f"--set {path}={value}" for path, value in overrides.items()]


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
    what = "varies every seed that matters, so all replicates would be the same; set `replicates: 1`"
    assert faults(lambda: make_plan("seed_id", "smoke", overrides={"replicates": "2"})) == [
        f"--set replicates=2: seed_id {what}"
    ]
    text = "task: t\nversion: 1\nsummary: s\nreplicates: 2\nfactor:\n  name: f\n"
    text += "  fields: [seeds.init, seeds.data_order, seeds.dropout]\n  levels: {a: 0, b: 1}\n"
    Path("t.yaml").write_text(text)
    assert faults(lambda: make_plan(Path("t.yaml"), "smoke")) == [f"t.yaml:4: t {what}"]
    Path("t.yaml").write_text(text.replace("replicates: 2\n", ""))
    assert faults(lambda: make_plan(Path("t.yaml"), "smoke"))[0].endswith(f"smoke.yaml:11: t {what}")


def test_a_seed_that_does_nothing_is_neither_factor_nor_nuisance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout its seed changes nothing; replicates that differ only in it would be the same model."""
    monkeypatch.chdir(tmp_path)
    text = "task: t\nversion: 1\nsummary: s\nreplicates: 2\nfactor:\n  name: f\n"
    text += "  fields: [seeds.init, seeds.data_order]\n  levels: {a: 0, b: 1}\n"
    Path("t.yaml").write_text(text)
    assert faults(lambda: make_plan(Path("t.yaml"), "smoke"))[0].startswith(
        "t.yaml:4: t varies every seed that matters"
    )
    assert len(make_plan(Path("t.yaml"), "smoke", overrides={"model.dropout": "0.1"}).variants) == 4
    assert len(make_plan(Path("t.yaml"), "smoke", overrides={"replicates": "1"}).variants) == 2
    Path("t.yaml").write_text(text.replace("seeds.init, seeds.data_order", "seeds.dropout"))
    assert faults(lambda: make_plan(Path("t.yaml"), "smoke")) == [
        "t.yaml:7: 'seeds.dropout' changes nothing while model.dropout is 0"
    ]
    assert len(make_plan(Path("t.yaml"), "smoke", overrides={"model.dropout": "0.1"}).variants) == 4


def test_a_setting_may_fit_at_the_levels_only(tmp_path: Path) -> None:
    """Texts of 64 tokens do not fit into the preset's context of 32, but they fit into the context of every level."""
    path = tmp_path / "context_id.yaml"
    path.write_text(
        "task: context_id\nversion: 1\nsummary: s\nsettings: {sampling: {max_tokens: 64}}\n"
        "factor: {name: context, fields: [model.context], levels: {short: 64, long: 128}}\n"
    )
    assert {variant.settings.model.context for variant in make_plan(path, "smoke").variants} == {64, 128}
    path.write_text(path.read_text().replace("short: 64", "short: 33"))
    found = faults(lambda: make_plan(path, "smoke"))
    assert len(found) == 1
    what = "settings: sampling.max_tokens 64 is more than the 33 that fit into model.context (level 'short')"
    assert found[0].endswith(f"context_id.yaml:5: {what}")


def planned(folder: Path, fields: str, levels: str, **options: Any) -> Plan:
    """Plan a task with these fields and levels at the preset `smoke`."""
    text = f"task: t\nversion: 1\nsummary: s\nfactor:\n  name: f\n  fields: [{fields}]\n  levels: {{{levels}}}\n"
    (folder / "t.yaml").write_text(text)
    return make_plan(folder / "t.yaml", "smoke", **options)


def values(plan: Plan, path: str) -> list[Any]:
    """A setting at each level of the first replicate."""
    return [flat(variant)[path] for variant in plan.variants if variant.replicate == 0]


def test_a_relative_value_is_a_multiple_of_the_presets_value(tmp_path: Path) -> None:
    assert values(planned(tmp_path, "optimizer.lr", "a: x0.25, b: x1, c: x2.5"), "optimizer.lr") == [1e-3, 4e-3, 1e-2]
    assert values(planned(tmp_path, "model.width", "a: x0.5, b: x2"), "model.width") == [16, 64]
    found = values(planned(tmp_path, "model.layers", "a: x0.6, b: x1.9, c: x3"), "model.layers")
    assert found == [1, 4, 6], "counts are rounded to whole numbers"
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


def test_replicates_are_held_out_if_there_are_several(tmp_path: Path) -> None:
    def holds_out(task: str, **overrides: str) -> bool:
        given_ = {path.replace("__", "."): value for path, value in overrides.items()}
        return make_plan(task, "smoke", overrides=given_).holds_out_replicates

    assert holds_out("lr_id")
    assert holds_out("lr_id", split__level="unseen_replicate")
    assert not holds_out("lr_id", split__level="unseen_prompt")
    assert not holds_out("lr_id", replicates="1")
    # Models of seed 1 in two replicates share nothing.
    for task in ("init_seed_id", "data_order_id", "dropout_seed_id", "finetune_seed_id"):
        assert not holds_out(task)
    assert not holds_out("null_id", replicates="2")
    assert not holds_out("null_run_id", replicates="2")
    what = "a seed, and its levels have no meaning across replicates: take unseen_prompt"
    assert faults(lambda: holds_out("init_seed_id", split__level="unseen_replicate")) == [
        f"--set split.level=unseen_replicate: init_seed_id varies {what}"
    ]
    assert faults(lambda: holds_out("seed_id", split__level="unseen_replicate")) == [
        "--set split.level=unseen_replicate: unseen_replicate needs 2 replicates or more, not 1",
        f"--set split.level=unseen_replicate: seed_id varies {what}",
    ]
    (tmp_path / "presets").mkdir()
    preset = (spec.preset_files()["smoke"]).read_text().replace("include: quick.yaml", "include: quick_.yaml")
    (tmp_path / "presets" / "mine.yaml").write_text(preset + "split: {level: unseen_replicate}\n")
    (tmp_path / "presets" / "quick_.yaml").write_text(spec.preset_files()["quick"].read_text())
    [fault] = faults(lambda: make_plan("lr_id", "mine", overrides={"replicates": "1"}, include=[tmp_path]))
    assert fault.endswith("presets/mine.yaml:12: unseen_replicate needs 2 replicates or more, not 1")


@pytest.mark.parametrize("override", [("sampling.top_k", "5"), ("sampling.top_p", "0.9")])
def test_a_truncated_sampler_has_no_likelihoods_in_other_tokens(override: tuple[str, str]) -> None:
    what = "tokenizers differ, so a truncated sampler gives no likelihoods: take top_k 0 and top_p 1"
    assert faults(lambda: make_plan("tokenizer_id", "smoke", overrides=dict([override]))) == [
        f"--set {'='.join(override)}: {what}"
    ]
    assert make_plan("lr_id", "smoke", overrides=dict([override])).shared_tokenizer


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
