"""What the command line and the Python face both call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from natfp_bench import api
from natfp_bench.base.errors import UserError


def test_names_and_a_tag_choose_tasks_once_each() -> None:
    chosen, left_out = api.find_tasks(["lr_id", "seed_id"], tags=["seeds"])
    assert chosen[:2] == ["lr_id", "seed_id"]
    assert len(set(chosen)) == len(chosen)
    assert "init_seed_id" in chosen
    assert "pythia_seed_id" in left_out
    assert not set(chosen) & set(left_out)
    both, _ = api.find_tasks(tags=["seeds", "optimisation"])
    assert {"init_seed_id", "lr_id"} < set(both)
    with_hub, left_out = api.find_tasks(["gpt2_seed_id"], tags=["seeds"])
    assert "gpt2_seed_id" in with_hub
    assert "gpt2_seed_id" not in left_out, "it was named"
    assert "pythia_seed_id" in api.find_tasks(tags=["seeds", "hub"])[0]
    fixed, _ = api.find_tasks(["all"], tags=["control"], fixed_texts=True)
    assert "null_factor_id" not in fixed, "its levels mean nothing, so it has no fixed texts"
    assert {"lr_id", "null_id"} < set(fixed)
    assert {"lr_id", "pythia_seed_id"} < set(api.find_tasks(["all", "pythia_seed_id"])[0])


@pytest.mark.parametrize("wrong", [{"baselines": "unigrm"}, {"device": "gpu"}, {"workers": 0}, {"engine": "rya"}])
@pytest.mark.parametrize("call", [api.run_plans, api.dry_run])
def test_wrong_arguments_are_refused_before_any_plan_runs(call: Any, wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        call([], store=tmp_path / "store", **wrong)
    assert not (tmp_path / "store").exists()


def test_a_dry_run_describes_each_plan_and_writes_nothing(tmp_path: Path) -> None:
    plans = [api.plan_task(name, "smoke") for name in ("seed_id", "null_id")]
    found = api.dry_run(plans, store=tmp_path / "store")
    assert [one.task for one in found] == ["seed_id", "null_id"]
    assert not list(tmp_path.iterdir())


def test_texts_that_exist_make_a_plan(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / f"{label}.txt").write_text("\n\n".join(f"{label} text number {i}" for i in range(200)))
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    plan = api.plan_texts(paths, "smoke", limit=40)
    assert sorted(variant.level for variant in plan.variants) == ["a", "b"]
    assert plan.texts == 40


def test_large_tasks_run_if_they_are_asked_for() -> None:
    assert not {"many_id", "many128_id", "five_seeds_id"} & set(api.find_tasks(["all"])[0])
    assert set(api.find_tasks(tags=["many"])[0]) == {"many_id", "many128_id"}
    assert api.find_tasks(["many_id"])[0] == ["many_id"]
