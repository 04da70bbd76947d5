"""A plan whose levels are models that a user names."""

from __future__ import annotations

import pytest

from natfp_bench.base.errors import SpecError, UserError
from natfp_bench.plan.models_plan import models_plan


def test_each_model_is_a_level() -> None:
    plan = models_plan(["models/first", "owner/second"], "smoke", seed=3, limit=50)
    assert plan.task.name == "trace"
    assert [of.name for of in plan.variants] == ["first/r0", "second/r0"]
    assert [of.settings.source.model for of in plan.variants] == ["models/first", "owner/second"]
    assert {of.settings.source.kind for of in plan.variants} == {"checkpoint"}
    assert (plan.seed, plan.texts, plan.targets) == (3, 50, ("level",))
    assert not plan.analysis.transfer
    assert plan.analysis.transforms == ()


def test_names_are_short_safe_and_distinct() -> None:
    plan = models_plan(["a/model", "b/model/", "c/mö del", "/", "nobody"], "smoke")
    assert [of.level for of in plan.variants] == ["model", "model-2", "m_del", "model-3", "nobody-2"]


def test_a_single_model_has_a_plan() -> None:
    plan = models_plan(["models/first"], "smoke")
    assert [of.name for of in plan.variants] == ["first/r0"]


def test_settings_are_those_of_a_preset() -> None:
    plan = models_plan(["a", "b"], "smoke", overrides={"sampling.texts": "80", "source.revision": "step10"})
    assert plan.texts == 80
    assert {of.settings.source.revision for of in plan.variants} == {"step10"}
    assert models_plan(["a", "b"], "smoke").task_digest == models_plan(["a", "b"], "quick").task_digest


@pytest.mark.parametrize(
    ("models", "what"),
    [
        ([], "no model is named\n  --model FOLDER"),
        (["a", "b", "a"], "--model a is given twice"),
        ([str(number) for number in range(129)], "129 models are too many: at most 128"),
    ],
)
def test_what_makes_no_question(models: list[str], what: str) -> None:
    with pytest.raises(UserError) as raised:
        models_plan(models, "smoke")
    assert what in str(raised.value)


def test_what_cannot_be_set() -> None:
    with pytest.raises(SpecError, match=r"unknown setting 'sampling\.text'"):
        models_plan(["a", "b"], "smoke", overrides={"sampling.text": "80"})
    with pytest.raises(SpecError, match=r"--set source\.model=c: trace varies 'source\.model'"):
        models_plan(["a", "b"], "smoke", overrides={"source.model": "c"})
    with pytest.raises(SpecError, match=r"optimizer\.lr=1: changes nothing: a checkpoint source is not trained here"):
        models_plan(["a", "b"], "smoke", overrides={"optimizer.lr": "1"})
