"""Tasks whose levels are ancestors, and the strangers that a plan of one asks for."""

from __future__ import annotations

import pytest

from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import canonical
from natfp_bench.plan.ancestors import STRANGER_SEED, levels_are_ancestors, strangers
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import Plan
from natfp_bench.plan.task_files import AnalysisSpec, load_task, task_files

ANCESTORS = {"base_id", "base_far_id", "teacher_id", "teacher_same_init_id"}


def asked(task: str, number: int, **options: str) -> Plan:
    return make_plan(task, "smoke", overrides={"analysis.strangers": str(number), **options})


def test_which_tasks_ask_for_an_ancestor() -> None:
    assert {name for name, path in task_files().items() if levels_are_ancestors(load_task(path)[0])} == ANCESTORS


def test_no_strangers_leave_every_digest_as_it_was() -> None:
    assert "strangers" not in canonical(AnalysisSpec())
    assert "strangers" in canonical(AnalysisSpec(strangers=3))
    assert strangers(make_plan("base_id", "smoke")) == ()


@pytest.mark.parametrize("task", sorted(ANCESTORS))
def test_each_stranger_has_an_ancestor_and_seeds_of_its_own(task: str) -> None:
    plan = asked(task, 5)
    found = strangers(plan)
    assert [of.name for of in found] == [f"stranger/r{number}" for number in range(5)]
    teachers = {of.settings.teacher.run for of in found}
    ancestors = teachers if task.startswith("teacher") else {of.settings.seeds.init for of in found}
    assert len(ancestors) == 5
    assert min(ancestors) >= STRANGER_SEED
    own = {of.settings.seeds.data_order if task.startswith("teacher") else of.settings.finetune.seed for of in found}
    assert len(own) == 5
    assert own.isdisjoint(ancestors)
    known = {of.settings.seeds.init for of in plan.variants} | {of.settings.teacher.run for of in plan.variants}
    assert known.isdisjoint(ancestors)


def test_strangers_are_made_as_each_replicate_in_turn() -> None:
    plan = asked("base_id", 5, replicates="2")
    assert [of.settings.finetune.part for of in strangers(plan)] == [0, 1, 0, 1, 0]
    assert [of.settings.finetune.lr for of in strangers(plan)] == [0.25, 0.5, 0.25, 0.5, 0.25]


def test_more_strangers_begin_with_the_same() -> None:
    assert strangers(asked("teacher_id", 3)) == strangers(asked("teacher_id", 8))[:3]


@pytest.mark.parametrize(
    ("task", "options", "what"),
    [
        ("lr_id", {}, "is for tasks whose levels are ancestors: base_id"),
        ("base_id", {"replicates": "1"}, "needs 2 replicates or more"),
    ],
)
def test_strangers_are_refused_where_nobody_asks_for_ancestors(task: str, options: dict[str, str], what: str) -> None:
    with pytest.raises(SpecError, match=what) as raised:
        asked(task, 2, **options)
    assert "--set analysis.strangers=2" in str(raised.value)
    with pytest.raises(SpecError, match="500"):
        asked("base_id", 501)
