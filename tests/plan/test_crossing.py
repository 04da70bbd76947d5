"""Crossed seeds: which cells there are, what they share, and the message for each fault of a crossing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from plan_tasks import cases, flat, task_faults

from natfp_bench.base.errors import SpecError
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import differing
from natfp_bench.plan.task_files import load_task, task_files, trained_tasks

pytestmark = pytest.mark.usefixtures("folder")

CROSSED = """\
task: t
version: 1
summary: A crossing of the tests.
factor:
  name: seeds
  crossed:
    seeds.init: [4, 0, 2]
    seeds.data_order: [0, 1, 2]
replicates: 1
"""


def written(text: str) -> Path:
    Path("t.yaml").write_text(text)
    return Path("t.yaml")


def test_every_cell_is_a_level_with_its_seeds_and_nothing_else() -> None:
    plan = make_plan(written(CROSSED), "smoke")
    assert plan.task.factor.fields == ("seeds.init", "seeds.data_order")
    cells = [*itertools.product([4, 0, 2], [0, 1, 2])]
    assert [variant.level for variant in plan.variants] == [f"init{i}-order{o}" for i, o in cells]
    assert [(v.settings.seeds.init, v.settings.seeds.data_order) for v in plan.variants] == cells
    assert differing(plan.variants) == ["seeds.data_order", "seeds.init"]
    assert {flat(variant)["seeds.dropout"] for variant in plan.variants} == {0}
    assert (plan.replicates, plan.targets, plan.holds_out_replicates) == (1, ("level",), False)


def test_three_seeds_can_be_crossed_if_all_of_them_matter() -> None:
    text = CROSSED.replace("    seeds.data_order", "    seeds.dropout: [0, 1, 2]\n    seeds.data_order")
    dropped = text + "settings: {model: {dropout: 0.1}}\n"
    plan = make_plan(written(dropped), "smoke")
    assert len({variant.settings.seeds for variant in plan.variants}) == len(plan.variants) == 27
    assert plan.variants[1].level == "init4-dropout0-order1"
    with pytest.raises(SpecError, match=r"^t\.yaml:8: 'seeds\.dropout' changes nothing while model\.dropout is 0, so"):
        make_plan(written(text), "smoke")
    with pytest.raises(SpecError, match=r"^--set model\.dropout|^t\.yaml:8: 'seeds\.dropout' changes nothing"):
        make_plan(written(dropped), "smoke", overrides={"model.dropout": "0"})


def test_there_is_one_model_in_each_cell() -> None:
    # With dropout, replicates would differ in its seed.
    text = CROSSED + "settings: {model: {dropout: 0.1}}\n"
    with pytest.raises(
        SpecError, match=r"^t\.yaml:9: t has one model in each cell of its crossing; set `replicates: 1`"
    ):
        make_plan(written(text.replace("replicates: 1", "replicates: 2")), "smoke")


FAULTS = r"""
seeds.init: [4, 0, 2] | seeds.int: [4, 0, 2]
  7: 'seeds.int' cannot be crossed (did you mean 'seeds.init'?): only nuisance seeds can be (seeds.init, \
    seeds.data_order, seeds.dropout)
seeds.init: [4, 0, 2] | optimizer.lr: [1e-3, 2e-3, 4e-3]
  7: 'optimizer.lr' cannot be crossed: only nuisance seeds can be (seeds.init, seeds.data_order, seeds.dropout)
  7: a value of 'optimizer.lr' must be a whole number, 0 or more, and 0.001 is not
  7: a value of 'optimizer.lr' must be a whole number, 0 or more, and 0.002 is not
  7: a value of 'optimizer.lr' must be a whole number, 0 or more, and 0.004 is not
seeds.init: [4, 0, 2] | rerun: [4, 0, 2]
  7: 'rerun' cannot be crossed: only nuisance seeds can be (seeds.init, seeds.data_order, seeds.dropout)
    seeds.init: [4, 0, 2]\n | # none\n
  6: 'seeds.data_order' alone is no crossing: add another seed, or write factor.fields and levels
[4, 0, 2] | [4, 0, 4]
  7: 'seeds.init' has the value 4 twice
[4, 0, 2] | [4, true, 2, -1]
  7: a value of 'seeds.init' must be a whole number, 0 or more, and -1 is not
  7: a value of 'seeds.init' must be a whole number, 0 or more, and True is not
[4, 0, 2] | [4, 0]
  7: 'seeds.init' has 2 values, and each seed of a crossing needs 3 or more: a text is scored by the models that \
    share no seed with its writer
[4, 0, 2] | 4
  7: the values of 'seeds.init' must be a list of whole numbers, such as [0, 1, 2]
    seeds.init: [4, 0, 2]\n    seeds.data_order: [0, 1, 2]\n | # none\n
  6: factor.crossed must be a mapping of seeds to their values, such as seeds.init: [0, 1, 2]
[4, 0, 2] | [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, \
    28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42]
  6: 129 cells are too many, 128 are allowed: take fewer values
  name: seeds\n |   name: seeds\n  fields: [seeds.init]\n  ordered: true\n
  6: factor.crossed makes the fields; leave out factor.fields
  7: the cells of a crossing are seeds, so factor.ordered has no meaning; leave it out
# beside other faults of the file
name: seeds\n  crossed:\n    seeds.init: [4, 0, 2] | crossd: 1\n  crossed:\n    seeds.init: [4, 4, 2]
  4: missing key 'factor.name'
  5: unknown key 'crossd' (did you mean 'crossed'?)
  7: 'seeds.init' has the value 4 twice
[4, 0, 2] | .nan
  7: ".nan" is not a value that a specification can hold
replicates: 1 | replicates: 1\nsettings: {modle: 1, seeds: {init: 3}}
  10: 'seeds.init' is the factor's field; set its values in factor.levels
  10: unknown setting 'modle'
"""


@pytest.mark.parametrize(("old", "new", "expected"), cases(FAULTS))
def test_faults_of_a_crossing(old: str, new: str, expected: list[str]) -> None:
    assert old in CROSSED
    assert sorted(task_faults(CROSSED.replace(old, new, 1))) == expected


def test_a_faulty_crossing_hides_no_fault_elsewhere_and_is_the_users(
    natfp: Callable[..., tuple[int, str, str]],
) -> None:
    text = CROSSED.replace("[4, 0, 2]", "[4, 4, 2]") + "settings: {modle: 1}\n"
    path = written(text).resolve()
    code, _, said = natfp("validate", path)
    assert code == 1
    assert "t.yaml:7: 'seeds.init' has the value 4 twice" in said
    assert "t.yaml:10: unknown setting 'modle'" in said
    code, _, said = natfp("run", "--include-path", path.parent, "--task", "t", "--preset", "smoke")
    assert code == 2
    assert "t.yaml:7: 'seeds.init' has the value 4 twice" in said
    assert "Traceback" not in said


def test_set_cannot_change_a_crossed_seed() -> None:
    with pytest.raises(
        SpecError, match=r"--set seeds\.init=3: t varies 'seeds\.init'; the task's levels are its values"
    ):
        make_plan(written(CROSSED), "smoke", overrides={"seeds.init": "3"})


def test_the_bundled_crossing_shares_models_with_the_tasks_of_one_seed() -> None:
    assert "seeds_crossed" in trained_tasks()
    plan = make_plan("seeds_crossed", "quick")
    keys = {of.name: of.model.key for of in resolve(plan)}
    assert len(set(keys.values())) == 16
    for task, cell in (("init_seed_id", "init{}-order0/r0"), ("data_order_id", "init0-order{}/r0")):
        alone = resolve(make_plan(task, "quick"))[:3]
        assert [of.model.key for of in alone] == [keys[cell.format(i)] for i in range(3)]


def test_notes_change_no_digest() -> None:
    for name in ("seed_id", "fork_id"):
        path = task_files()[name]
        task = load_task(path)[0]
        plan = make_plan(name, "smoke")
        other = plan.model_copy(update={"task": task.model_copy(update={"notes": "Something else."})})
        assert task.notes
        assert other.task_digest == plan.task_digest
        assert [of.model.key for of in resolve(other)] == [of.model.key for of in resolve(plan)]
    # The digest in benchmarks/reference.parquet, from before the task had notes.
    known = "913e2f890cb48d503fe1b945e18734c1cd6cd2baf62f0113800aa11043584308"
    assert make_plan("seed_id", "smoke").task_digest == known
