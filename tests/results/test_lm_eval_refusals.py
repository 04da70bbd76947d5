"""Output of lm-eval that does not fit the export is one message."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval_runs import Ran

from natfp_bench.base.errors import UserError
from natfp_bench.results import lm_eval_export, lm_eval_import


def edited(one: Ran, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Ran:
    """Copy a run's output, its results changed."""
    output = folder / "output"
    shutil.copytree(one.output, output)
    (path,) = output.rglob("results_*.json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return dataclasses.replace(one, output=output)


def test_the_identity_is_the_models_and_how_it_was_asked(ran: dict[str, Ran], tmp_path: Path) -> None:
    part, held_out = (ran[name].imported()[0].scores[0].attributor for name in ("part", "held out"))
    assert part == held_out, "one attributor over tasks"
    one = edited(ran["part"], tmp_path, lambda data: data.update(chat_template_sha="1"))
    assert one.imported()[0].scores[0].attributor.digest != part.digest


def relogged(one: Ran, folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Ran:
    """Copy a run's output, its samples changed."""
    output = folder / "output"
    shutil.copytree(one.output, output)
    path = next(output.rglob("samples_*.jsonl"))
    samples = [json.loads(line) for line in path.read_text().split("\n") if line]
    change(samples)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return dataclasses.replace(one, output=output)


def rename(model: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update(model_name=model)


def one_header(data: dict[str, Any], **changes: Any) -> None:
    for config in data["configs"].values():
        config["metadata"][lm_eval_export.METADATA].update(changes)


def without_metadata(data: dict[str, Any]) -> None:
    for config in data["configs"].values():
        config["metadata"].clear()


CHANGED = "the questions have changed since the export"

RESULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no export": (without_metadata, "it has no task of an export"),
    "no configs": (lambda data: data.pop("configs"), "not a results file of lm-eval (KeyError: 'configs')"),
    "protocol": (
        lambda data: one_header(data, protocol_digest="0" * 64),
        "is about another result: seed_id at smoke",
    ),
    "digest": (lambda data: one_header(data, digest="0" * 64), "from several exports"),
    "shots": (lambda data: one_header(data, shots=9), CHANGED),
    "version": (lambda data: one_header(data, schema=2), "not a results file of lm-eval"),
    "nameless": (rename("/models/7b-chat"), "'/models/7b-chat' cannot be used\n  --name"),
    "taken": (rename("org/unigram"), "already an attributor 'unigram'\n  --name"),
    "reserved": (rename("ceiling"), "name 'ceiling' is reserved"),
}


@pytest.mark.parametrize("how", RESULTS)
def test_results_that_do_not_fit_are_one_message(ran: dict[str, Ran], tmp_path: Path, how: str) -> None:
    change, said = RESULTS[how]
    with pytest.raises(UserError) as caught:
        edited(ran["part"], tmp_path, change).imported()
    assert said in str(caught.value)


def nats(value: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda samples: samples[0].update(filtered_resps=[[value, "False"]] * 4)


SAMPLES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "fewer": (lambda samples: samples.pop(), "23 answers, but the export has 24 questions\n  run lm-eval with the"),
    "twice": (lambda samples: samples.append(samples[0]), "25 answers, but the export has 24 questions"),
    "repeated": (lambda samples: samples.__setitem__(1, samples[0]), "24 answers, but the export has 24 questions"),
    "edited": (lambda samples: samples[0]["doc"].update(query="Which?"), CHANGED),
    "moved": (lambda samples: samples[0]["doc"].update(row=999), CHANGED),
    "marked": (lambda samples: samples[0]["doc"].update(export="0"), "from several exports"),
    "no doc": (lambda samples: samples[0].pop("doc"), "not samples of an export (KeyError: 'doc')"),
    "nan": (nats("nan"), "give no probabilities"),
    "impossible": (nats("-inf"), "give no probabilities"),
    "no number": (nats("x"), "not samples of an export (ValueError"),
    "short": (lambda samples: samples[0]["filtered_resps"].pop(), "line 1 has 3 of 4 answers"),
}


@pytest.mark.parametrize("how", SAMPLES)
def test_samples_that_do_not_fit_are_one_message(ran: dict[str, Ran], tmp_path: Path, how: str) -> None:
    change, said = SAMPLES[how]
    with pytest.raises(UserError) as caught:
        relogged(ran["part"], tmp_path, change).imported()
    assert said in str(caught.value)


def test_a_letter_may_be_impossible() -> None:
    assert lm_eval_import.softmax([-math.inf, 0.0]) == [0.0, 1.0]
    assert lm_eval_import.softmax([-1000.0, -1000.0]) == [0.5, 0.5]
    assert lm_eval_import.softmax([-1e30, 0.0, math.log(3)]) == pytest.approx([0, 0.25, 0.75])


def test_a_replicate_that_was_not_asked_about_is_told(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = edited(ran["held out"], tmp_path, lambda data: data["configs"].pop("natfp_rate_level_r1"))
    with pytest.raises(UserError, match="18 answers, but the export has 27 questions"):
        one.imported()


def test_samples_must_be_there(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = edited(ran["part"], tmp_path, lambda data: None)
    next(one.output.rglob("samples_*")).unlink()
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\)\n  lm_eval --log_samples"):
        one.imported()
