"""Shares at which texts are mixed: in tasks, as an option, and where they make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from natfp_bench.base.errors import SpecError
from natfp_bench.base.records import canonical
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.plan.task_files import AnalysisSpec


def test_no_shares_leave_every_digest_as_it_was() -> None:
    assert "shares" not in canonical(AnalysisSpec())
    assert "shares" in canonical(AnalysisSpec(shares=(0.5,)))
    assert "analysis" not in canonical(make_plan("seed_id", "smoke").task)


def test_dilution_id_has_the_models_of_seed_id() -> None:
    plan = make_plan("dilution_id", "quick")
    assert plan.variants == make_plan("seed_id", "quick").variants
    assert plan.analysis.shares == (0, 0.02, 0.05, 0.1, 0.25, 0.5, 1)


@pytest.mark.parametrize(
    ("given", "shares"), [("0.25", (0.25,)), ("0,0.05, 0.5", (0, 0.05, 0.5)), ("0.5,0.1,0.1", (0.1, 0.5)), ("1", (1,))]
)
def test_shares_are_given_with_commas(given: str, shares: tuple[float, ...]) -> None:
    assert make_plan("seed_id", "smoke", overrides={"analysis.shares": given}).analysis.shares == shares


@pytest.mark.parametrize("given", ["1.5", "-0.1", "some", "0.1;0.2", "nan"])
def test_what_is_no_share_is_refused(given: str) -> None:
    with pytest.raises(SpecError, match=r"analysis\.shares"):
        make_plan("seed_id", "smoke", overrides={"analysis.shares": given})


def test_models_that_attributors_have_not_learnt_from_cannot_be_mixed() -> None:
    asked = {"analysis.shares": "0,0.5"}
    with pytest.raises(SpecError, match="have learnt from: take"):
        make_plan("lr_id", "smoke", overrides=asked)
    made = make_plan("lr_id", "smoke", overrides={**asked, "split.level": "unseen_prompt"})
    assert made.analysis.shares == (0, 0.5)


def test_a_task_names_the_place_of_a_wrong_study(tmp_path: Path) -> None:
    text = (
        "task: t\nversion: 1\nsummary: s\nfactor: {name: f, fields: [optimizer.lr], levels: {a: 1e-3, b: 2e-3}}\n"
        "replicates: 1\nanalysis:\n  shares: [0.5]\n  share: 3\n  margin: 7\n"
    )
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        make_plan(path, "smoke")
    assert {fault.split("t.yaml:")[1].split(":")[0] for fault in caught.value.faults} == {"8", "9"}
    path.write_text(text.replace("  share: 3\n  margin: 7\n", ""))
    assert make_plan(path, "smoke").analysis.shares == (0.5,)
    # An option is stronger than a task.
    assert make_plan(path, "smoke", overrides={"analysis.shares": "0"}).analysis.shares == (0,)
