"""Scores by lm-eval: which figures of its own tasks are kept, and what a failure of it becomes."""

from __future__ import annotations

from typing import Any

import lm_eval
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.models import lm_eval_scores


def test_plain_figures_of_a_task_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    figures = {"alias": "easy", "acc,none": 0.25, "acc_stderr,none": 0.01, "exact_match,strict-match": 0.5, "words,": 3}

    def evaluate(**options: Any) -> dict[str, Any]:
        asked.append(options["tasks"])
        return {"results": {"easy": figures, "hard": {"acc,none": 0}}}

    monkeypatch.setattr(lm_eval, "simple_evaluate", evaluate)
    found = lm_eval_scores._named(None, ("easy", "hard"))
    assert found == {"easy/acc": 0.25, "easy/words": 3.0, "hard/acc": 0.0}
    assert asked == [["easy", "hard"]]


@pytest.mark.parametrize("error", [KeyError("no_such_task"), ConnectionError("the Hub\nis away"), RuntimeError()])
def test_a_failure_of_lm_eval_names_the_tasks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(lm_eval, "simple_evaluate", fail)
    with pytest.raises(UserError, match=rf"--parity-tasks a,b: lm-eval cannot run them \({type(error).__name__}: .+\)"):
        lm_eval_scores._named(None, ("a", "b"))
