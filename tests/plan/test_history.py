"""The history of the variants of real tasks, as their settings tell it."""

from __future__ import annotations

import pytest

from natfp_bench.plan.history import families, history, shared_ancestors
from natfp_bench.plan.make_plan import make_plan


def found(task: str, **options: object) -> tuple[list[str], list[int] | None]:
    """Names of the variants of a task at `smoke`, and their families."""
    plan = make_plan(task, "smoke", **options)  # type: ignore[arg-type]
    return [of.name for of in plan.variants], families([history(of.settings) for of in plan.variants])


@pytest.mark.parametrize("task", ["base_id", "base_far_id", "teacher_id", "teacher_same_init_id"])
def test_levels_are_families_where_they_are_bases_or_teachers(task: str) -> None:
    names, family = found(task)
    assert family is not None
    assert len(set(family)) == 4
    assert len({*zip(family, [name.split("/")[0] for name in names], strict=True)}) == 4


@pytest.mark.parametrize(
    "task",
    [
        "prune_id",
        "rounding_id",
        "quantization_id",
        "average_id",
        "merge_id",
        "merge_bases_id",
        "finetune_seed_id",
        "temperature_id",
        "checkpoint_id",
        "serving_id",
    ],
)
def test_replicates_are_families_where_a_run_is_treated(task: str) -> None:
    names, family = found(task)
    assert family is not None
    assert len(set(family)) == 2
    assert len({*zip(family, [name.split("/r")[1] for name in names], strict=True)}) == 2


@pytest.mark.parametrize("task", ["lr_id", "seed_id", "init_seed_id", "data_order_id", "size_id", "null_id"])
def test_runs_that_share_seeds_alone_are_no_relatives(task: str) -> None:
    assert found(task)[1] is None


def test_copies_of_a_forked_run_have_it_in_common() -> None:
    plan = make_plan("fork_id", "smoke")
    histories = [history(of.settings) for of in plan.variants]
    assert shared_ancestors(histories) == [[1] * 4] * 4
    assert families(histories) is None, "nobody is apart from it"


def test_a_merge_joins_the_families_of_both_runs() -> None:
    plan = make_plan("merge_bases_id", "smoke", replicates=1)
    histories = {of.level: history(of.settings)[0] for of in plan.variants}
    assert not histories["alone"] & histories["partner"]
    assert histories["alone"] | histories["partner"] == histories["half"]
    assert families([history(of.settings) for of in plan.variants]) is None, "all are one family"


def test_fine_tunings_of_one_base_share_it_and_nothing_later() -> None:
    plan = make_plan("base_id", "smoke")
    shared = shared_ancestors([history(of.settings) for of in plan.variants])
    for a, one in enumerate(plan.variants):
        for b, other in enumerate(plan.variants):
            assert shared[a][b] == (2 if a == b else int(one.level == other.level))


def test_what_is_pruned_after_a_fine_tuning_has_two_generations() -> None:
    plan = make_plan("prune_id", "smoke", overrides={"finetune.share": "0.25"})
    shared = shared_ancestors([history(of.settings) for of in plan.variants])
    assert {shared[0][b] for b in range(len(shared))} == {0, 2}


def test_students_of_two_teachers_have_nothing_in_common_even_with_the_same_seeds() -> None:
    plan = make_plan("teacher_id", "smoke", replicates=1)
    histories = [history(of.settings) for of in plan.variants]
    assert len({own[0] for own in histories}) == 4
    assert len({own[1] for own in histories}) == 4


def test_families_are_joined_through_any_common_ancestor() -> None:
    histories = [[frozenset(own)] for own in ("a", "b", "c", "ab", "d", "d")]
    assert families(histories) == [0, 0, 1, 0, 2, 2]
    assert families([[]] * 3) is None
    assert families([[frozenset("a")], [frozenset("b")]]) is None
    nested = [[frozenset("x"), frozenset(own)] for own in "aabb"]
    assert families(nested) == [0, 0, 1, 1]
    assert shared_ancestors(nested)[0] == [2, 2, 1, 1]


def test_a_released_model_is_the_ancestor_of_what_is_served_from_it() -> None:
    plan = make_plan("pythia_seed_id", "smoke")
    histories = [history(of.settings) for of in plan.variants]
    assert all(len(own) == 1 for own in histories)
    assert len({own[0] for own in histories}) == len(histories), "each its own"
