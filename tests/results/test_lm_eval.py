"""Questions of an export go through lm-eval itself, and what it logs comes back as a score on the leaderboard."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline import run as pipeline
from natfp_bench.pipeline.store import Store
from natfp_bench.results import export, lm_eval_export, lm_eval_import
from natfp_bench.results.export import Exported
from natfp_bench.results.leaderboard import leaderboards
from natfp_bench.results.protocols import boards
from natfp_bench.statistics import metrics

HOSTILE = ("{{ 7 * 7 }} {% raw %} {# gone #}", "a 'b'\n\"c\"\r\n\\n", "", "\x00\u2028 é \U0001f600", "2020-01-01", "12")

ASK = """
import hashlib, json, sys
import lm_eval.models  # registers its own models, before one of ours is added
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

seen = []

@register_model("stub")
class Stub(LM):
    @classmethod
    def create_from_arg_string(cls, arguments, config=None):
        return cls()
    create_from_arg_obj = create_from_arg_string

    def loglikelihood(self, requests):
        seen.extend(request.args for request in requests)
        of = [int(hashlib.sha256("".join(request.args).encode()).hexdigest()[:8], 16) for request in requests]
        return [(-number / 1e9, False) for number in of]

    loglikelihood_rolling = generate_until = None

Stub.__abstractmethods__ = frozenset()

for folder, group, model, arguments, output in json.loads(sys.argv[1]):
    tracker = EvaluationTracker(output_path=output)
    manager = TaskManager(include_path=folder, include_defaults=False)
    found = simple_evaluate(model=model, model_args=arguments, tasks=[group], task_manager=manager, batch_size=8,
        log_samples=True, evaluation_tracker=tracker, bootstrap_iters=0, device="cpu")
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name, of in samples.items():
        tracker.save_results_samples(task_name=name, samples=of)
    print("RAN " + json.dumps({"acc": found["results"][group]["acc,none"], "seen": seen[:]}))
    seen.clear()
"""


def lm_eval(tmp: Path, *asked: tuple[Path, str, str, str, Path]) -> list[dict[str, Any]]:
    """Run lm-eval in a process of its own; returns the accuracy that each run tells, and what a stub was asked."""
    environment = {**os.environ, "HF_HOME": str(tmp / "hf"), "HF_HUB_OFFLINE": "1"}
    given = json.dumps([[str(part) for part in one] for one in asked])
    done = subprocess.run(
        [sys.executable, "-c", ASK, given], env=environment, cwd=tmp, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("RAN ")]


@dataclasses.dataclass(frozen=True)
class Ran:
    """One export, and what came of it: its folder, the result's, lm-eval's, and what it told."""

    export: Path
    result: Path
    output: Path
    acc: float
    seen: list[list[str]]

    @property
    def questions(self) -> list[dict[str, Any]]:
        lines = [line for path in sorted(self.export.glob("*.jsonl")) for line in path.read_text().split("\n") if line]
        return [json.loads(line) for line in lines]

    def imported(self, **options: Any) -> tuple[Any, pa.Table]:
        return lm_eval_import.import_output(self.output, self.result / "result.json", **options)


@pytest.fixture(scope="module")
def ran(bench: Any, seed_run: Any, rate_run: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Runs of lm-eval with a stub of a model: on a part of the test texts, on all, and with replicates held out."""
    home = tmp_path_factory.mktemp("lm eval [x]")
    store, asked, folders = Store(bench.store), [], {}
    for name, (result, folder), limit in (
        ("part", seed_run, 6),
        ("all", seed_run, 10_000),
        ("held out", rate_run, 9),
    ):
        found = export.gather(folder / "result.json", store)
        if name == "part":
            texts = [HOSTILE[row % len(HOSTILE)] for row in found.texts["row"].to_pylist()]
            found = dataclasses.replace(found, texts=found.texts.set_column(0, "text", pa.array(texts)))
        where = export.make_folder(home / f"export {name}")
        lm_eval_export.write_lm_eval(found, where, limit, 2)
        group = lm_eval_export.group(result.task.name)
        asked.append((where, group, "stub", "pretrained=Org/Stub-1.5B", home / f"output {name}"))
        folders[name] = (where, folder, home / f"output {name}")
    told = lm_eval(home, *asked)
    return {
        name: Ran(*of, acc=one["acc"], seen=one["seen"]) for (name, of), one in zip(folders.items(), told, strict=True)
    }


def test_lm_eval_asks_what_was_exported_word_for_word(ran: dict[str, Ran]) -> None:
    for one in ran.values():
        letters = "ABCD"[: len(one.questions[0]["order"])]
        assert sorted(map(tuple, one.seen)) == sorted((q["query"], f" {of}") for q in one.questions for of in letters)
    assert any("{{ 7 * 7 }} {% raw %} {# gone #}" in query for query, _ in ran["part"].seen)


def test_accuracy_is_the_one_that_lm_eval_tells(ran: dict[str, Ran]) -> None:
    for one in ran.values():
        result, _ = one.imported()
        mine = next(score for score in result.scores if score.attributor.name == "stub_1_5b")
        assert mine.metrics["accuracy"].value == pytest.approx(one.acc, abs=1e-12)
        assert (mine.attributor.access, mine.attributor.version, mine.status) == ("text", "2-shot", "ok")
        assert mine.n_test == len(one.questions)
        assert mine.n_train == 2 * len(mine.classes)


def test_probabilities_are_those_of_the_letters_classes(ran: dict[str, Ran]) -> None:
    import hashlib

    one = ran["part"]
    result, table = one.imported()
    classes = result.scores[0].classes
    rows = {(r["variant"], r["row"]): r for r in table.to_pylist() if r["attributor"] == "stub_1_5b"}
    assert len(rows) == len(one.questions)
    for question in one.questions:
        nats = []
        for letter in "ABCD":
            number = int(hashlib.sha256(f"{question['query']} {letter}".encode()).hexdigest()[:8], 16)
            nats.append(-number / 1e9)
        total = sum(map(math.exp, nats))
        row = rows[question["variant"], question["row"]]
        for place, of in enumerate(question["order"]):
            assert row["proba"][of] == pytest.approx(math.exp(nats[place]) / total)
        assert row["label"] == classes[question["order"][question["answer"]]]


def test_all_texts_make_one_more_attributor_of_the_same_protocol(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = ran["all"]
    known = results.read(one.result / "result.json")
    result, predictions = one.imported()
    assert result.protocol_digest == known.protocol_digest
    assert [score.attributor.name for score in result.scores] == ["stub_1_5b"]
    same = {"scores": (), "run": known.run}
    assert result.model_copy(update=same) == known.model_copy(update=same)
    folder = pipeline.write(result, predictions, tmp_path)
    paths = [one.result / "result.json", folder / "result.json"]
    found, faults = boards(paths)
    assert not faults
    (board,) = found
    alone = boards(paths[:1])[0][0]
    assert [row.attributor for row in alone.rows] == [r.attributor for r in board.rows if r.attributor != "stub_1_5b"]
    credit = {}
    for path in paths:
        for name, rows in by_attributor(path.parent).items():
            truth = np.array([board_classes(known).index(row["label"]) for row in rows])
            credit[name] = metrics.credits(np.array([row["proba"] for row in rows]), truth)
    prompts = np.array([row["prompt"] for row in by_attributor(folder)["stub_1_5b"]])
    ranks = metrics.ranks({name: of for name, of in credit.items() if name != "ceiling"}, prompts, known.seed)
    assert {row.attributor: row.rank for row in board.rows if row.rank} == ranks


def board_classes(result: Any) -> list[str]:
    return list(result.scores[0].classes)


def by_attributor(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(folder / "predictions.parquet").to_pylist():
        if (row["target"], row["split"]) == ("level", "unseen_prompt"):
            found.setdefault(row["attributor"], []).append(row)
    return found


def test_a_score_of_all_texts_leaves_what_is_said_of_the_factor(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = ran["all"]
    folder = pipeline.write(*one.imported(), tmp_path)
    (before,) = leaderboards([one.result / "result.json"]).standings
    (after,) = leaderboards([one.result / "result.json", folder / "result.json"]).standings
    unchanged = ("reference", "ceiling", "bits", "ceiling_bits")
    for old, new in zip(before.factors, after.factors, strict=True):
        assert new.model_copy(update={"seen": old.seen}) == old
        assert old.seen
        assert new.seen
        assert all(getattr(old.seen, name) == getattr(new.seen, name) for name in unchanged)
    assert {row.attributor for row in after.attributors} - {row.attributor for row in before.attributors} == {
        "stub_1_5b"
    }


def test_a_part_of_the_texts_is_a_board_of_its_own_with_everybody_on_it(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = ran["part"]
    known = results.read(one.result / "result.json")
    result, predictions = one.imported()
    assert result.protocol_digest != known.protocol_digest
    assert result.subset == 6
    assert (result.likelihood, result.checks, result.mean_kl) == ((), (), None)
    asked = {(q["variant"], q["row"]) for q in one.questions}
    for score in result.scores:
        mine = [row for row in predictions.to_pylist() if row["attributor"] == score.attributor.name]
        assert {(row["variant"], row["row"]) for row in mine} == asked
        truth = np.array([score.classes.index(row["label"]) for row in mine])
        credit = metrics.credits(np.array([row["proba"] for row in mine]), truth)
        assert score.metrics["accuracy"].value == pytest.approx(credit.mean())
    assert [score.attributor.name for score in result.scores] == [
        "stub_1_5b",
        *(score.attributor.name for score in known.scores),
    ]
    assert all((score.rank is None) == (score.attributor.name == "ceiling") for score in result.scores)
    folder = pipeline.write(result, predictions, tmp_path)
    found = leaderboards([one.result / "result.json", folder / "result.json"])
    assert not found.faults
    assert [standing.setting.subset for standing in found.standings] == [None, 6]
    assert [len(board.rows) for board in found.boards] in (
        [len(known.scores), len(result.scores)],
        [len(result.scores), len(known.scores)],
    )
    (whole,) = leaderboards([one.result / "result.json"]).standings
    assert found.standings[0] == whole


def test_two_models_on_the_same_part_share_a_board(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = ran["part"]
    paths = [pipeline.write(*one.imported(name=name), tmp_path) / "result.json" for name in ("first", "second")]
    ((board,), faults) = boards(paths)
    assert not faults
    ranks = {row.attributor: row.rank for row in board.rows}
    assert ranks["first"] == ranks["second"]
    assert "ceiling" in ranks


def test_held_out_replicates_are_scored_as_such(ran: dict[str, Ran]) -> None:
    result, predictions = ran["held out"].imported()
    known = results.read(ran["held out"].result / "result.json")
    mine = result.scores[0]
    assert (mine.split, mine.target, len(mine.parts)) == ("unseen_replicate", "level", 3)
    interval = mine.metrics["accuracy"]
    assert (interval.units, interval.n_units, interval.method) == ("replicates", 3, "t")
    assert interval.value == pytest.approx(np.mean(mine.parts))
    assert "level_error" in mine.metrics, "the factor is ordered"
    assert {score.split for score in result.scores} == {"unseen_replicate"}
    mains = [score.attributor.name for score in known.scores if score.split == "unseen_replicate"]
    assert [score.attributor.name for score in result.scores[1:]] == mains
    assert set(predictions["split"].to_pylist()) == {"unseen_replicate"}
    assert mine.extraction is None


def test_the_scores_of_others_on_all_texts_are_those_of_the_run(ran: dict[str, Ran]) -> None:
    """What scores a part scores the whole as the run did."""
    one = ran["all"]
    known, predictions = results.read(one.result / "result.json"), export.read_predictions(one.result / "result.json")
    rows, output = export.test_texts(known, predictions), lm_eval_import.read_output(one.output, known)
    frame = lm_eval_import._frame(known, output.header)
    who = known.scores[0].attributor.model_copy(update={"name": "nobody"})
    uniform = lm_eval_import._answers(rows, np.full((len(rows), 4), 0.25), frame)
    made, _ = lm_eval_import._beside(known, predictions, rows, np.arange(len(rows)), frame, who, uniform, 8)
    for again, score in zip(made[1:], known.scores, strict=True):
        assert again.model_copy(update={"rank": score.rank}) == score


def test_the_identity_is_the_models_and_how_it_was_asked(ran: dict[str, Ran], tmp_path: Path) -> None:
    part, held_out = (ran[name].imported()[0].scores[0].attributor for name in ("part", "held out"))
    assert part == held_out, "one attributor over tasks"
    one = edited(ran["part"], tmp_path, lambda data: data.update(chat_template_sha="1"))
    assert one.imported()[0].scores[0].attributor.digest != part.digest


# What is refused.


def edited(one: Ran, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Ran:
    """Copy a run's output, its results changed."""
    output = folder / "output"
    shutil.copytree(one.output, output)
    (path,) = output.rglob("results_*.json")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return dataclasses.replace(one, output=output)


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


CHANGED = "the questions are not those that were exported"

RESULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no export": (without_metadata, "no task of an export in it"),
    "no configs": (lambda data: data.pop("configs"), "no results of lm-eval (KeyError: 'configs')"),
    "protocol": (
        lambda data: one_header(data, protocol_digest="0" * 64),
        "is of another result: seed_id at smoke, prot",
    ),
    "digest": (lambda data: one_header(data, digest="0" * 64), "its tasks are of several exports"),
    "shots": (lambda data: one_header(data, shots=9), CHANGED),
    "version": (lambda data: one_header(data, schema=2), "no results of lm-eval"),
    "nameless": (rename("/models/7b-chat"), "'/models/7b-chat' gives no plain name\n  give the model one with --name"),
    "taken": (rename("org/unigram"), "there is an attributor 'unigram' already\n  give the model another name"),
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
    "fewer": (lambda samples: samples.pop(), "23 answers, and the export has 24 questions\n  run lm-eval with the"),
    "twice": (lambda samples: samples.append(samples[0]), "25 answers, and the export has 24 questions"),
    "repeated": (lambda samples: samples.__setitem__(1, samples[0]), "24 answers, and the export has 24 questions"),
    "edited": (lambda samples: samples[0]["doc"].update(query="Which?"), CHANGED),
    "moved": (lambda samples: samples[0]["doc"].update(row=999), CHANGED),
    "marked": (lambda samples: samples[0]["doc"].update(export="0"), "its tasks are of several exports"),
    "no doc": (lambda samples: samples[0].pop("doc"), "no samples of an export (KeyError: 'doc')"),
    "nan": (nats("nan"), "give no probabilities"),
    "impossible": (nats("-inf"), "give no probabilities"),
    "no number": (nats("x"), "no samples of an export (ValueError"),
    "short": (lambda samples: samples[0]["filtered_resps"].pop(), "line 1 has 3 answers of 4"),
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
    with pytest.raises(UserError, match="18 answers, and the export has 27 questions"):
        one.imported()


def test_samples_must_be_there(ran: dict[str, Ran], tmp_path: Path) -> None:
    one = edited(ran["part"], tmp_path, lambda data: None)
    next(one.output.rglob("samples_*")).unlink()
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\)\n  lm_eval --log_samples"):
        one.imported()


# The commands.


def test_the_command_puts_a_model_on_the_leaderboard(
    natfp: Callable[..., tuple[int, str, str]], ran: dict[str, Ran], tmp_path: Path
) -> None:
    one = ran["part"]
    code, out, err = natfp("import-lm-eval", one.output, "--result", one.result)
    assert (code, err) == (0, "")
    assert "stub_1_5b" in out
    assert "unigram" in out
    assert "only 6 test texts a class were asked about" in out
    (folder,) = (tmp_path / "results" / "seed_id" / "smoke").iterdir()
    made = results.read(folder / "result.json")
    assert made.run.command[:2] == ("natfp-bench", "import-lm-eval")
    assert made.run.environment["lm_eval model"] == "Org/Stub-1.5B"
    code, out, err = natfp("leaderboard")
    assert (code, err) == (0, "")
    assert "smoke" in out
    assert "only 6 test texts a class" in " ".join(out.split())
    assert "stub_1_5b" in out
    code, _, err = natfp("import-lm-eval", one.output, "--result", one.result, "--name", "Not plain")
    assert code == 2
    assert "name 'Not plain' is no plain name" in err


def test_wrong_input_gets_one_message(
    natfp: Callable[..., tuple[int, str, str]], ran: dict[str, Ran], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a", "b"):
        shutil.copytree(ran["part"].output, tmp_path / "two" / name)
    for output, result, said in (
        ("nowhere", ran["part"].result, "no output of lm-eval at nowhere\n  lm_eval ... --log_samples --output_path"),
        ("empty", ran["part"].result, "no output of lm-eval at empty"),
        ("two", ran["part"].result, "two holds 2 outputs of lm-eval, and this takes one of them:\n  two/a/"),
        (ran["part"].output, "nowhere", "no results at 'nowhere'"),
        (ran["part"].output, ran["held out"].result, "is of another result: seed_id at smoke"),
    ):
        code, out, err = natfp("import-lm-eval", output, "--result", result)
        assert (code, out) == (2, "")
        assert said in err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_local_model_goes_through_lm_eval(bench: Any, seed_run: Any, tmp_path: Path) -> None:
    """One of the run's own models, as any checkpoint folder, is asked who wrote its siblings' texts."""
    result, folder = seed_run
    what: Exported = export.gather(folder / "result.json", Store(bench.store))
    where = export.make_folder(tmp_path / "export")
    lm_eval_export.write_lm_eval(what, where, 3, 1)
    model = Store(bench.store).require("model", result.variants[0].key).folder
    shutil.copytree(model, tmp_path / "tiny")
    arguments = f"pretrained={tmp_path / 'tiny'},dtype=float32"
    (told,) = lm_eval(tmp_path, (where, "natfp_seed_id", "hf", arguments, tmp_path / "output"))
    made, _ = lm_eval_import.import_output(tmp_path / "output", folder / "result.json")
    assert made.scores[0].attributor.name == "tiny"
    assert made.scores[0].metrics["accuracy"].value == pytest.approx(told["acc"])
