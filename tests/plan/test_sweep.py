"""Sweeps: ordinary plans at every combination of values, and what cannot be swept."""

from __future__ import annotations

import re
from typing import Any

import pytest

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.sweep import MAX_PLANS, sweep_plans

TOKENS = ["x0.25", "x0.5", "x1"]


def swept(over: dict[str, list[str]], task: str = "seed_id", **options: Any) -> list[dict[str, Any]]:
    return [plan.overrides for plan in sweep_plans(task, "smoke", over, **options)]


def test_a_sweep_is_a_grid_of_ordinary_plans() -> None:
    plans = sweep_plans("seed_id", "smoke", {"budget.tokens": ["x0.5", "x1"], "model.width": ["32", "x2"]})
    assert [plan.overrides for plan in plans] == [
        {"budget.tokens": tokens, "model.width": width} for tokens in (30_720, 61_440) for width in (32, 64)
    ]
    for plan in plans:
        alone = make_plan("seed_id", "smoke", overrides={k: str(v) for k, v in plan.overrides.items()})
        assert plan.variants == alone.variants
        assert plan.stops == {}, "a cosine knows its end: nothing is shared"


def test_settings_joined_by_a_plus_change_together() -> None:
    found = swept({"model.width+model.feed_forward": ["x1", "x2"]})
    assert found == [{"model.width": 32, "model.feed_forward": 64}, {"model.width": 64, "model.feed_forward": 128}]


def test_values_are_relative_to_what_the_other_options_leave() -> None:
    assert [one["budget.tokens"] for one in swept({"budget.tokens": ["x2", "x4"]}, task="lr_id")] == [122_880, 245_760]


def test_budgets_of_a_constant_rate_are_stops_of_the_longest_run() -> None:
    over, constant = {"budget.tokens": TOKENS, "model.width": ["32", "64"]}, {"schedule.name": "constant"}
    plans = sweep_plans("seed_id", "smoke", over, overrides=constant)
    assert [plan.overrides["budget.stop"] for plan in plans] == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert {plan.overrides["budget.tokens"] for plan in plans} == {61_440}
    tokens = sorted({variant.settings.tokens_trained for plan in plans for variant in plan.variants})
    assert tokens == [15_360, 30_720, 61_440]
    assert {stops for plan in plans for stops in plan.stops.values()} == {(0.25, 0.5, 1.0)}
    assert len(plans[0].stops) == 8, "a run for each seed and width"


def test_budgets_of_a_warm_up_stable_decay_have_a_decay_each() -> None:
    schedule = {"schedule.name": "warmup_stable_decay"}
    plans = sweep_plans("seed_id", "smoke", {"budget.tokens": TOKENS}, overrides=schedule)
    recipes = [plan.variants[0].settings.recipe for plan in plans]
    assert [one.stop_step for one in recipes] == [30, 60, 120]
    assert [one.trunk.stop_step for one in recipes if one.trunk] == [27, 54, 108]
    assert set(plans[0].stops.values()) == {(27 / 120, 54 / 120, 108 / 120)}


@pytest.mark.parametrize(
    ("task", "over", "given"),
    [
        ("token_budget_id", {"model.width": ["32", "64"]}, {"schedule.name": "constant"}),
        ("seed_id", {"budget.tokens": TOKENS}, {"schedule.name": "constant", "budget.stop": "0.5"}),
        ("seed_id", {"budget.tokens": TOKENS}, {"schedule.name": "constant", "finetune.share": "0.5"}),
    ],
)
def test_other_budgets_stay_runs_of_their_own(task: str, over: dict[str, list[str]], given: dict[str, str]) -> None:
    plans = sweep_plans(task, "smoke", over, overrides=given)
    assert not any("budget.stop" in plan.overrides and "budget.stop" not in given for plan in plans)


FAULTS = {
    "the factor's own field": (
        {"seeds.init": ["1", "2"]},
        "--over seeds.init=1,2: seed_id varies 'seeds.init' itself; sweep over something else",
    ),
    "an unknown setting": ({"optimizer.ls": ["1", "2"]}, "unknown setting 'optimizer.ls' (did you mean"),
    "one value": ({"model.width": ["32"]}, "a sweep needs two values or more; --set gives one value"),
    "equal values": ({"model.width": ["x1", "32"]}, "32 is the same as another of its values"),
    "a value that does not fit": ({"model.width": ["33", "64"]}, "--over model.width=33: settings.model: width 33"),
    "a word": ({"model.width": ["a", "64"]}, "--over model.width=a: settings.model.width must be a valid integer"),
    "a half of a word": ({"corpus.name": ["x2", "a"]}, "relative, but the preset's 'chronicle' is not a number"),
    "twice": (
        {"model.width": ["32", "64"], "model.width+model.layers": ["1", "2"]},
        "'model.width' is swept over twice",
    ),
    "set, too": ({"model.layers": ["1", "3"]}, "--set gives 'model.layers' one value; leave one of them out"),
    "too many": (
        {"optimizer.lr": [f"{i}e-4" for i in range(1, 40)], "seeds.x": [str(i) for i in range(40)]},
        f"1,560 combinations are too many, {MAX_PLANS} are allowed",
    ),
    "a fork beyond the run": (
        {"fork.at": ["0.5", "1.5"]},
        "--over fork.at=1.5: settings.fork.at: a fork at 1.5 is beyond the run: take a share of its steps",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_swept_is_named(name: str) -> None:
    over, expected = FAULTS[name]
    with pytest.raises(SpecError, match=re.escape(expected)):
        sweep_plans("seed_id", "smoke", over, overrides={"model.layers": "2"})


def test_a_sweep_over_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to sweep over"):
        sweep_plans("seed_id", "smoke", {})


def test_every_faulty_cell_is_named_once() -> None:
    with pytest.raises(SpecError) as caught:
        sweep_plans("seed_id", "smoke", {"model.width": ["33", "35"], "optimizer.lr": ["1e-3", "2e-3"]})
    assert [re.sub(r": settings.*", "", fault) for fault in caught.value.faults] == [
        "--over model.width=33",
        "--over model.width=35",
    ]


FORKS = {
    "before the first step": ({"fork.at": "0.001"}, "is before the first of 120 steps"),
    "after the last": ({"fork.at": "0.999"}, "is after the last of 120 steps"),
    "dropout that is not there": ({"fork.kind": "dropout"}, "changes nothing while model.dropout is 0"),
    "a run that stops": ({"budget.stop": "0.5"}, "cannot be forked"),
    "a fine-tuned one": ({"finetune.share": "0.5"}, "cannot be forked"),
    "the factor": ({"fork.branch": "1"}, "fork_id varies 'fork.branch'"),
}


@pytest.mark.parametrize("name", FORKS)
def test_forks_that_cannot_be_are_refused(name: str) -> None:
    overrides, expected = FORKS[name]
    with pytest.raises(SpecError, match=re.escape(expected)):
        make_plan("fork_id", "smoke", overrides=overrides)


@pytest.mark.parametrize(("task", "more"), [("gpt2_seed_id", {}), ("ft_seed_id", {"source.model": "x"})])
def test_what_is_not_trained_here_from_nothing_cannot_be_forked(task: str, more: dict[str, str]) -> None:
    with pytest.raises(SpecError, match="a fork is of a run that is trained here from nothing"):
        make_plan(task, "smoke", overrides={"fork.at": "0.5", **more})


def test_a_fork_is_only_shown_where_there_is_one() -> None:
    assert "fork" not in make_plan("seed_id", "smoke").variants[0].settings.model_dump()
    assert make_plan("fork_id", "smoke").variants[1].settings.model_dump()["fork"]["branch"] == 1
    with pytest.raises(SpecError, match=r"change nothing while fork\.at is 0"):
        make_plan("seed_id", "smoke", overrides={"fork.kind": "last_place"})


def test_blocks_are_shuffled_between_the_stops_of_a_sweep_alone() -> None:
    plans = sweep_plans("seed_id", "smoke", {"budget.tokens": TOKENS}, overrides={"schedule.name": "constant"})
    assert {plan.variants[0].settings.budget.segment_ends for plan in plans} == {(0.25, 0.5)}
    plans = sweep_plans("seed_id", "smoke", {"budget.stop": ["0.3", "1"]})
    assert {plan.variants[0].settings.budget.segment_ends for plan in plans} == {(0.3,)}
    own = sweep_plans("seed_id", "smoke", {"budget.stop": ["0.3", "1"]}, overrides={"budget.segments": '"0.2"'})
    assert {plan.variants[0].settings.budget.segment_ends for plan in own} == {(0.2,)}


@pytest.mark.parametrize("segments", ["0.5,0.5", "0.5,0.2", "0,0.5", "0.5,1", "a"])
def test_segments_that_are_none_are_refused(segments: str) -> None:
    with pytest.raises(SpecError, match="shares"):
        make_plan("seed_id", "smoke", overrides={"budget.segments": f'"{segments}"'})
