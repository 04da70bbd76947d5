"""The script that asks about models of known history: what it counts, and the tasks that it writes."""

from __future__ import annotations

from pathlib import Path

import descent_controls as controls
import pytest

from natfp_bench.pipeline.result import AttributorId
from natfp_bench.plan.ancestors import STRANGER_SEED
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.results.identification import Descent, Pair

BASELINE = AttributorId(name="naive_bayes", version="1", digest=None, access="text", floor=False, knowledge="texts")
RELATED, STRANGE = controls.CONTROLS[0], controls.CONTROLS[2]


def answer(p: dict[str, float]) -> Descent:
    """An answer with these corrected p-values, the smallest first."""
    pairs = [Pair(ancestor=name, support=-value, p=value, p_adjusted=value) for name, value in p.items()]
    return Descent(
        run="run",
        task="base_id",
        preset="quick",
        attributor=BASELINE,
        texts=100,
        judged=100,
        strangers=19,
        smallest_p=0.05,
        pairs=tuple(sorted(pairs, key=lambda pair: pair.p)),
        recognised=None,
        false_alarms=None,
        notes=(),
    )


def test_a_base_is_right_wrong_or_not_shown() -> None:
    answers = [answer({"base0": 0.05}), answer({"base0": 0.05, "base1": 0.1}), answer({"base2": 0.1})]
    found = controls.Outcome.of(RELATED, answers)
    assert (found.asked, found.right, found.wrong, found.p) == (3, 1, 1, (0.05, 0.05, 0.1))
    strange = controls.Outcome.of(STRANGE, answers)
    assert (strange.right, strange.wrong) == (0, 2), "each base that is shown is a wrong one"


@pytest.mark.parametrize(("right", "wrong", "holds"), [(4, 0, True), (3, 0, False), (4, 3, False)])
def test_every_base_has_to_be_found_as_itself(right: int, wrong: int, holds: bool) -> None:
    assert controls.Outcome(RELATED, 4, right, wrong, (0.05,)).holds is holds


def test_of_four_strangers_three_that_are_shown_are_too_many() -> None:
    assert [controls.Outcome(STRANGE, 4, 0, wrong, (0.05,)).holds for wrong in range(5)] == [True] * 3 + [False] * 2


def test_the_document_names_rows_that_do_not_hold() -> None:
    text = controls.document(
        [controls.Outcome(RELATED, 4, 3, 0, (0.05, 0.2)), controls.Outcome(STRANGE, 4, 0, 1, (0.05,))],
        "quick",
        "naive_bayes",
    )
    first, second = text.splitlines()[-2:]
    assert first == f"| {RELATED.name} | 4 | 3 | 0 | 2 | 0.05, 0.20 | **no** |"
    assert second == f"| {STRANGE.name} | 4 | they have none | 1 | 2 | 0.05 | yes |"


def test_other_runs_have_no_seed_of_a_base_or_a_stranger(tmp_path: Path) -> None:
    bases = {variant.settings.seeds.init for variant in make_plan("base_id", "quick").variants}
    for task, body in controls.TASKS.items():
        (tmp_path / f"{task}.yaml").write_text(controls.task_file(task, body), encoding="utf-8")
        first = [one.settings for one in make_plan(task, "quick", include=[tmp_path]).variants if one.replicate == 0]
        seeds = [one.teacher.run if task == "others_taught_id" else one.seeds.init for one in first]
        assert len(set(seeds)) == 4
        assert not set(seeds) & bases
        assert max(seeds) < STRANGER_SEED
    tuned = make_plan("others_tuned_id", "quick", include=[tmp_path]).variants[0].settings
    assert tuned.finetune == make_plan("base_id", "quick").variants[0].settings.finetune
