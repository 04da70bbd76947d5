"""Tasks that say what their replicates differ in, instead of seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from natfp_bench.base.errors import SpecError
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.plan import check_one_factor, no_trace

TASK = """\
task: t
version: 1
summary: s
factor:
  name: base
  fields: [seeds.init]
  levels: {a: 0, b: 1}
nuisance:
  finetune.seed: [0, 1, 2]
  finetune.lr: [0.5, 0.5, 0.25]
settings:
  finetune: {share: 0.25}
"""


def written(folder: Path, text: str = TASK) -> Path:
    (folder / "t.yaml").write_text(text)
    return folder / "t.yaml"


def test_replicates_have_the_values_of_the_task_and_the_seeds_of_their_level(folder: Path) -> None:
    plan = make_plan(written(folder), "smoke", replicates=3)
    found = {(of.level, of.replicate): of.settings for of in plan.variants}
    assert [found["a", r].finetune.seed for r in range(3)] == [0, 1, 2]
    assert [found["b", r].finetune.lr for r in range(3)] == [0.5, 0.5, 0.25]
    assert {settings.seeds.init for (level, _), settings in found.items() if level == "b"} == {1}
    assert {settings.seeds.data_order for settings in found.values()} == {0}, "no seed is shifted"
    assert not no_trace(plan.task), "the seed of a level is the same in all replicates"
    assert plan.holds_out_replicates


FAULTS = {
    "finetune.seed: [0, 1, 2]\n->finetune.sed: [0, 1, 2]\n": "t.yaml:9: unknown setting 'finetune.sed'",
    "finetune.seed: [0, 1, 2]\n->seeds.init: [0, 1, 2]\n": "t.yaml:9: 'seeds.init' is the factor's field",
    "finetune.seed: [0, 1, 2]\n->corpus.name: [a, b, c]\n": "t.yaml:9: 'corpus.name' cannot differ between replicates",
    "finetune.seed: [0, 1, 2]\n->finetune.seed: [0, 1]\n": "t.yaml:9: 'finetune.seed' has 2 values, and another",
    "finetune.seed: [0, 1, 2]\n->finetune.seed: [0, 0, 2]\n": "t.yaml:8: two replicates have the same values",
    "finetune.seed: [0, 1, 2]\n->finetune.share: [0, 0.5, 2]\n": "t.yaml:8: settings.finetune.share must be less than",
}


@pytest.mark.parametrize("change", FAULTS)
def test_each_fault_is_named_with_its_line(folder: Path, change: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_plan(written(folder, TASK.replace(*change.split("->"))), "smoke", replicates=3)
    assert caught.value.faults[0].startswith(FAULTS[change]), caught.value.faults


def test_more_replicates_than_values_are_refused(folder: Path) -> None:
    with pytest.raises(SpecError, match=r"t.yaml:8: t says what 3 replicates differ in, and 4 are asked for"):
        make_plan(written(folder), "smoke", replicates=4)


def test_anything_else_that_varies_breaks_the_rule(folder: Path) -> None:
    plan = make_plan(written(folder), "smoke", replicates=2)
    (first, *rest) = plan.variants
    seeds = first.settings.seeds.model_copy(update={"dropout": 9})
    broken = first.model_copy(update={"settings": first.settings.model_copy(update={"seeds": seeds})})
    with pytest.raises(
        SpecError, match=r"level 'a': replicates differ in 'seeds\.dropout', which is not a nuisance set"
    ):
        check_one_factor([broken, *rest], plan.task.factor, plan.task.nuisance)
