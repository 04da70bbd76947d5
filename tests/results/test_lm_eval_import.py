"""Questions of an export go through lm-eval itself, and its output becomes a score on the leaderboard."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from lm_eval_runs import Ran, lm_eval

from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline import run as pipeline
from natfp_bench.pipeline.store import Store
from natfp_bench.results import export, lm_eval_export, lm_eval_import
from natfp_bench.results.export import Exported
from natfp_bench.results.leaderboard import leaderboards
from natfp_bench.results.predictions import read_predictions
from natfp_bench.results.protocols import boards
from natfp_bench.statistics import paired, per_text


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
    classes, credit = known.scores[0].classes, {}
    for path in paths:
        for name, rows in by_attributor(path.parent).items():
            truth = np.array([classes.index(row["label"]) for row in rows])
            credit[name] = per_text.credits(np.array([row["proba"] for row in rows]), truth)
    prompts = np.array([row["prompt"] for row in by_attributor(folder)["stub_1_5b"]])
    ranks = paired.ranks({name: of for name, of in credit.items() if name != "ceiling"}, prompts, known.seed)
    assert {row.attributor: row.rank for row in board.rows if row.rank} == ranks


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
        credit = per_text.credits(np.array([row["proba"] for row in mine]), truth)
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
    assert (interval.units, interval.n_units, interval.method) == ("replicates", 3, "cross-fitted t")
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
    known, predictions = results.read(one.result / "result.json"), read_predictions(one.result / "result.json")
    rows, output = predictions.test_texts(known), lm_eval_import.read_output(one.output, known)
    frame = lm_eval_import._frame(known, output.header)
    who = known.scores[0].attributor.model_copy(update={"name": "nobody"})
    uniform = lm_eval_import._answers(rows, np.full((len(rows), 4), 0.25), frame)
    made, _ = lm_eval_import._beside(known, predictions, rows, np.arange(len(rows)), frame, who, uniform, 8)
    for again, score in zip(made[1:], known.scores, strict=True):
        assert again.model_copy(update={"rank": score.rank}) == score


def test_the_command_puts_a_model_on_the_leaderboard(
    natfp: Callable[..., tuple[int, str, str]], ran: dict[str, Ran], tmp_path: Path
) -> None:
    one = ran["part"]
    code, out, err = natfp("import-lm-eval", one.output, "--result", one.result)
    assert (code, err) == (0, "")
    assert "stub_1_5b" in out
    assert "unigram" in out
    assert "6 test texts per class only" in out
    (folder,) = (tmp_path / "results" / "seed_id" / "smoke").iterdir()
    made = results.read(folder / "result.json")
    assert made.run.command[:2] == ("natfp-bench", "import-lm-eval")
    assert made.run.environment["lm_eval model"] == "Org/Stub-1.5B"
    code, out, err = natfp("leaderboard")
    assert (code, err) == (0, "")
    assert "smoke" in out
    assert "only 6 test texts per class" in " ".join(out.split())
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
        ("two", ran["part"].result, "two holds 2 outputs of lm-eval"),
        (ran["part"].output, "nowhere", "no results at 'nowhere'"),
        (ran["part"].output, ran["held out"].result, "is about another result: seed_id at smoke"),
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
