"""Scores by lm-eval: which figures of its own tasks are kept, and what a failure of it becomes."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import lm_eval
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.models import lm_eval_backend, lm_eval_scores


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


@pytest.mark.parametrize(
    "speak",
    [
        lambda: os.write(2, b"fatal: not a git repository\n"),
        lambda: subprocess.run(["/bin/sh", "-c", "echo fatal >&2"], check=True),
        lambda: sys.stderr.write("words\n"),
        lambda: logging.getLogger("transformers").warning("too long"),
        lambda: warnings.warn("odd", stacklevel=1),
    ],
    ids=["descriptor", "child", "stream", "log", "warning"],
)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.filterwarnings("ignore:odd")
def test_nothing_below_lm_eval_is_heard(
    capfd: pytest.CaptureFixture[str], speak: Callable[[], Any], fails: bool
) -> None:
    with contextlib.suppress(ZeroDivisionError), lm_eval_backend.quiet():
        speak()
        if fails:
            raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
