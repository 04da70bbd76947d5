"""Leaderboards: results of one protocol rank together, others never do, and a damaged one is skipped by name."""

from __future__ import annotations

import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats

from natfp_bench.cli import main as cli
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.result import AttributorId, Detectable, FactorStudy, Result, RunInfo, Score, TaskId
from natfp_bench.report import sheets
from natfp_bench.results.leaderboard import AttributorRow, FactorRow, Leaderboards, best, leaderboards, student_quantile
from natfp_bench.results.protocols import _credits, boards
from natfp_bench.statistics import metrics, replication
from natfp_bench.statistics.metrics import Interval


@pytest.fixture(scope="session")
def apart(bench: Any, seed_run: Any) -> dict[str, Path]:
    """Results of single attributors, in the order in which they were made: one protocol."""
    names = ("unigram", "char_ngram", "naive_bayes", "majority")
    return {name: bench.run("seed_id", baselines=name)[1] / "result.json" for name in names}


def edited(source: Path, folder: Path, **changes: Any) -> Path:
    """Copy a result's folder and change its top-level entries."""
    shutil.copytree(source.parent, folder)
    data = json.loads(source.read_text()) | changes
    (folder / "result.json").write_text(json.dumps(data))
    return folder / "result.json"


def test_one_result_is_shown_as_it_is(seed_run: Any) -> None:
    result, folder = seed_run
    [board], faults = boards([folder / "result.json"])
    assert faults == []
    assert (board.task, board.preset, board.target, board.classes) == ("seed_id", "smoke", "level", 4)
    assert (board.chance, board.n_test, board.split) == (0.25, 200, "unseen_prompt")
    assert [row.attributor for row in board.rows][-1] == "ceiling"
    by_name = {score.attributor.name: score for score in result.scores}
    for row in board.rows:
        score = by_name[row.attributor]
        assert row.accuracy == score.metrics["accuracy"]
        assert (row.rank, row.log10_p, row.access) == (score.rank, score.log10_p, score.attributor.access)
    shown = [row.accuracy.value for row in board.rows[:-1] if row.accuracy]
    assert shown == sorted(shown, reverse=True)


def test_results_of_one_protocol_merge_and_rank_as_one(seed_run: Any, apart: dict[str, Path]) -> None:
    result, _ = seed_run
    [board], faults = boards(list(apart.values()))
    assert faults == []
    assert {row.attributor: row.rank for row in board.rows} == {
        score.attributor.name: score.rank for score in result.scores
    }
    together = {row.attributor: row.accuracy for row in board.rows}
    assert together == {score.attributor.name: score.metrics["accuracy"] for score in result.scores}


def test_ranks_are_recomputed_from_the_predictions(apart: dict[str, Path], tmp_path: Path) -> None:
    """One attributor's answers are replaced by perfect ones: the other, first when alone, now ranks behind."""
    perfect = edited(apart["char_ngram"], tmp_path / "perfect")
    table = pq.read_table(perfect.parent / "predictions.parquet")
    rows = table.to_pylist()
    classes = ["seed0", "seed1", "seed2", "seed3"]
    for row in rows:
        row["proba"] = np.eye(4)[classes.index(row["label"])].tolist()
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), perfect.parent / "predictions.parquet")
    [board], faults = boards([apart["unigram"], perfect, apart["majority"]])
    assert faults == []
    ranks = {row.attributor: row.rank for row in board.rows}
    assert ranks["char_ngram"] == 1
    assert ranks["unigram"] == 2
    assert ranks["majority"] >= 2


def test_another_protocol_is_another_board(seed_run: Any, tmp_path: Path) -> None:
    own = seed_run[1] / "result.json"
    other = edited(own, tmp_path / "other", protocol_digest="0" * 64)
    found, faults = boards([own, other])
    assert faults == []
    assert sorted(board.protocol_digest for board in found) == sorted(["0" * 64, seed_run[0].protocol_digest])
    assert all(len(board.rows) == 5 for board in found)


def test_the_newer_of_two_results_counts(seed_run: Any, tmp_path: Path) -> None:
    own = seed_run[1] / "result.json"
    data = json.loads(own.read_text())
    scores = data["scores"]
    scores[0] |= {"status": "failed", "error": "fit raised", "rank": None, "metrics": {}, "log10_p": None}
    name = scores[0]["attributor"]["name"]
    run = data["run"]
    newer = edited(own, tmp_path / "newer", scores=scores, run=run | {"started": "2999-01-01T00:00:00+00:00"})
    older = edited(own, tmp_path / "older", scores=scores, run=run | {"started": "1999-01-01T00:00:00+00:00"})
    [after], _ = boards([newer, own])
    failed = next(row for row in after.rows if row.attributor == name)
    assert (failed.error, failed.rank, failed.accuracy) == ("fit raised", None, None)
    assert [row.attributor for row in after.rows][-2:] == [name, "ceiling"]
    [before], _ = boards([older, own])
    assert next(row for row in before.rows if row.attributor == name).error is None


def test_a_damaged_result_is_skipped_by_name(seed_run: Any, tmp_path: Path) -> None:
    own = seed_run[1] / "result.json"
    bad = tmp_path / "bad" / "result.json"
    bad.parent.mkdir()
    bad.write_text(own.read_text()[:-100])
    future = edited(own, tmp_path / "future", schema=2)
    [board], faults = boards([bad, own, future])
    assert len(board.rows) == 5
    assert [fault.split(":")[0] for fault in faults] == [str(bad), str(future)]
    assert boards([bad])[0] == []
    assert boards([]) == ([], [])


@pytest.mark.parametrize("damage", ["missing", "garbage", "other rows", "other columns", "other type"])
def test_damaged_predictions_cost_a_rank_and_are_named(apart: dict[str, Path], tmp_path: Path, damage: str) -> None:
    bad = edited(apart["char_ngram"], tmp_path / "bad")
    path = bad.parent / "predictions.parquet"
    match damage:
        case "missing":
            path.unlink()
        case "garbage":
            path.write_bytes(b"PAR1 and no more")
        case "other rows":
            pq.write_table(pq.read_table(path).slice(0, 30), path)
        case "other columns":
            pq.write_table(pq.read_table(path).drop(["label"]), path)
        case "other type":
            table = pq.read_table(path)
            place = table.schema.names.index("attributor")
            pq.write_table(table.set_column(place, "attributor", pa.array(range(len(table)))), path)
    [board], faults = boards([apart["unigram"], bad, apart["majority"]])
    [fault] = faults
    assert str(path) in fault
    assert "char_ngram" in fault
    ranks = {row.attributor: row.rank for row in board.rows}
    assert ranks["char_ngram"] is None
    assert ranks["unigram"] == 1


def test_a_result_without_scores_makes_no_board_and_is_named(seed_run: Any, tmp_path: Path) -> None:
    empty = edited(
        seed_run[1] / "result.json", tmp_path / "empty", scores=[], likelihood=[], mean_kl=None, samples=None
    )
    found, [fault] = boards([empty])
    assert found == []
    assert fault == f"{empty}: no scores (nobody was asked)"


def test_boards_are_sorted_and_both_targets_shown(seed_run: Any, tmp_path: Path) -> None:
    own = seed_run[1] / "result.json"
    data = json.loads(own.read_text())
    both = data["scores"] + [score | {"target": "instance"} for score in data["scores"]]
    task = data["task"] | {"name": "a_task"}
    other = edited(own, tmp_path / "other", scores=both, task=task, protocol_digest="1" * 64)
    found, _ = boards([own, other])
    assert [(board.task, board.target) for board in found] == [
        ("a_task", "instance"),
        ("a_task", "level"),
        ("seed_id", "level"),
    ]


def test_the_credit_on_a_board_is_that_of_the_metrics(apart: dict[str, Path]) -> None:
    result = results.read(apart["unigram"])
    score = result.scores[0]
    credit, prompts = _credits(apart["unigram"].parent / "predictions.parquet", score)
    assert credit.mean() == pytest.approx(score.metrics["accuracy"].value)
    assert metrics.ranks({"unigram": credit}, prompts, 0) == {"unigram": 1}


def test_splits_are_boards_of_their_own(apart: dict[str, Path], tmp_path: Path) -> None:
    """On a second split, two attributors' answers are changed places: so must be what that board says of them."""
    paths = {}
    names = ("char_ngram", "majority")
    tables = {name: pq.read_table(apart[name].parent / "predictions.parquet").to_pylist() for name in names}
    for name, other in zip(names, reversed(names), strict=True):
        scores = json.loads(apart[name].read_text())["scores"]
        theirs = json.loads(apart[other].read_text())["scores"]
        moved = [
            score | {"split": "seen_replicate", "attributor": own["attributor"]}
            for score, own in zip(theirs, scores, strict=True)
        ]
        paths[name] = edited(apart[name], tmp_path / name, scores=scores + moved)
        swapped = [
            row | {"split": "seen_replicate", "attributor": {other: name}.get(row["attributor"], row["attributor"])}
            for row in tables[other]
        ]
        file = paths[name].parent / "predictions.parquet"
        table = pq.read_table(file)
        pq.write_table(type(table).from_pylist([*swapped, *tables[name]], schema=table.schema), file)
    found, faults = boards(list(paths.values()))
    assert faults == []
    assert [board.split for board in found] == ["seen_replicate", "unseen_prompt"]
    shown = [{row.attributor: (row.rank, row.accuracy) for row in board.rows} for board in found]
    assert shown[0]["char_ngram"] == shown[1]["majority"]
    assert shown[0]["majority"] == shown[1]["char_ngram"]
    assert shown[0]["char_ngram"][0] == 2
    assert shown[0]["majority"][0] == 1
    assert shown[0]["ceiling"] == shown[1]["ceiling"]


# Below, results are made by hand: figures of attributors by task and split, and nothing that takes training.

UNSEEN, SEEN, PROMPT = "unseen_replicate", "seen_replicate", "unseen_prompt"


def plain(value: float, spread: float | None = None) -> Interval:
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return Interval(value=value, low=low, high=high, method="t" if spread else "none", units="replicates", n_units=3)


def scored(name: str, split: str, value: float | None, **more: Any) -> Score:
    """A score of the level among four; `value`: its identifiability, None if the attributor failed."""
    access = "likelihood" if name in ("ceiling", "likelihood_reference") else "text"
    digest = more.pop("digest", f"code of {name}")
    who = AttributorId(name=name, version="1", digest=digest, access=access, floor=name == "majority")
    given: dict[str, Any] = {"status": "failed", "error": "fit raised"}
    if value is not None:
        found = {
            "identifiability": plain(value, 0.01),
            "accuracy": plain(0.25 + 0.75 * value),
            "bits": plain(2 * value),
        }
        given = {"status": "ok", "metrics": found, "rank": 1 if access == "text" else None}
        # Replicates, or tenths of the prompts, that are all alike unless a test says otherwise.
        given["parts"] = more.pop("parts", (0.25 + 0.75 * value,) * (3 if split == UNSEEN else 10))
    frame = {"split": split, "target": "level", "classes": ("a", "b", "c", "d"), "chance": 0.25}
    return Score(attributor=who, **frame, **given, **more)


def studied(**parts: Any) -> FactorStudy:
    nothing: dict[str, Any] = dict.fromkeys(("permutation", "permanova", "parity", "length", "wording"))
    empty: dict[str, Any] = dict.fromkeys(("gaps", "curves", "robustness", "by_position", "by_type"), ())
    detectable = Detectable(instance=0.4, factor=0.07)
    return FactorStudy(**{**nothing, **empty, "reference": "bayes", "detectable": detectable, "failed": {}, **parts})


Figures = dict[str, dict[str, float | None]]


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Write a result of a task from figures: split -> attributor -> identifiability; returns its file."""

    def make(task: str, figures: Figures, **changes: Any) -> Path:
        number = len(list(tmp_path.iterdir()))
        control, scores = changes.pop("control", None), changes.pop("scores", ())
        seconds = {f"level/{name}": {"fit": 2.0, "predict": 0.5} for split in figures.values() for name in split}
        run = {
            "id": f"run{number}",
            "started": f"2026-01-01T00:00:{number:02}+00:00",
            "command": ("natfp-bench", "run"),
        }
        result = Result(
            schema=1,
            protocol_digest=changes.pop("protocol_digest", f"protocol of {task}"),
            overrides=changes.pop("overrides", {}),
            seed=changes.pop("seed", 0),
            task=TaskId(name=task, version=1, digest="0", tags=(), control=control),
            preset=changes.pop("preset", "quick"),
            factor=results.FactorResult(name=f"factor of {task}", fields=("x",), levels=("a", "b", "c", "d")),
            corpus=results.CorpusResult(
                name=changes.pop("corpus", "chronicle"), digest="0", documents=1, bytes=1, tokens=1
            ),
            variants=(),
            samples=results.SampleResult(
                per_variant=100, max_tokens=64, prompted=False, mean_tokens=60.0, ended=0.1, digest="0"
            ),
            scores=(
                *(scored(name, split, at) for split, who in figures.items() for name, at in who.items()),
                *scores,
            ),
            likelihood=(),
            mean_kl=None,
            study=changes.pop("study", studied()),
            checks=(),
            run=RunInfo(
                **{**run, "seconds": {"total": 1.0}, "work": {}, "attributors": seconds, "environment": {"cores": 2}}
            ),
        )
        assert not changes
        path = tmp_path / f"{number}" / "result.json"
        path.parent.mkdir()
        path.write_text(result.to_json())
        return path

    return make


def factor(found: Leaderboards, task: str) -> FactorRow:
    (row,) = [row for standing in found.standings for row in standing.factors if row.task == task]
    return row


def attributor(found: Leaderboards, name: str) -> AttributorRow:
    (standing,) = found.standings
    (row,) = [row for row in standing.attributors if row.attributor == name]
    return row


def test_a_factor_with_runs_held_out(made: Any) -> None:
    test = replication.Test(p=0.03, smallest=0.01, permutations=99, exhaustive=False, testable=True)
    figures = {
        UNSEEN: {"bayes": 0.3, "other": 0.4, "likelihood_reference": 0.5},
        SEEN: {"bayes": 0.6, "other": 0.7, "ceiling": 0.9},
    }
    study = studied(permutation=results.Permuted(test=test, observed=0.5))
    row = factor(leaderboards([made("lr_id", figures, study=study)]), "lr_id")
    assert (row.factor, row.reference, row.section, row.current) == ("factor of lr_id", "bayes", "held-out runs", True)
    assert (row.unseen.split, row.seen.split) == (UNSEEN, SEEN)
    assert (row.unseen.reference, row.seen.reference.value) == (plain(0.3, 0.01), 0.6)
    assert (row.unseen.bits.value, row.seen.bits.value, row.seen.ceiling_bits.value) == (0.6, 1.2, 1.8)
    assert (row.unseen.ceiling, row.seen.ceiling.value) == (None, 0.9)  # a reference may be beaten: no ceiling
    assert (row.permutation, row.log10_p, row.detectable) == (test, None, 0.07)
    assert (row.unseen.best_attributors, row.unseen.best) == (("other",), plain(0.4, 0.01))
    assert (row.seen.best_attributors, row.seen.best) == (("other",), plain(0.7, 0.01))


def test_a_factor_without_runs_to_hold_out_has_figures_of_seen_runs_only(made: Any) -> None:
    path = made("seed_id", {PROMPT: {"ceiling": 0.9}}, scores=[scored("bayes", PROMPT, 0.5, log10_p=-12.0)])
    row = factor(leaderboards([path]), "seed_id")
    assert (row.unseen, row.seen.split, row.seen.reference.value) == (None, PROMPT, 0.5)
    assert (row.permutation, row.log10_p, row.section) == (None, -12.0, "seen runs only")
    assert row.detectable == pytest.approx((0.4 - 0.25) / 0.75)  # an accuracy among four, normalised


def test_rows_stand_in_sections_best_first(made: Any) -> None:
    paths = [
        made("null_id", {PROMPT: {"bayes": 0.99}}, control="negative"),
        made("data_id", {UNSEEN: {"bayes": 0.95}}, control="positive"),
        made("seed_id", {PROMPT: {"bayes": 0.9}}),
        made("low_id", {UNSEEN: {"bayes": 0.1}, SEEN: {"bayes": 0.8}}),
        made("high_id", {UNSEEN: {"bayes": 0.2}, SEEN: {"bayes": 0.3}}),
        made("failed_id", {UNSEEN: {"bayes": None}}),
    ]
    (standing,) = leaderboards(paths).standings
    assert [(row.task, row.section) for row in standing.factors] == [
        ("high_id", "held-out runs"),
        ("low_id", "held-out runs"),
        ("failed_id", "held-out runs"),
        ("seed_id", "seen runs only"),
        ("data_id", "positive control"),
        ("null_id", "negative control"),
    ]


def test_the_best_attributor_of_a_replicate_is_chosen_by_the_others() -> None:
    """`lucky` is far ahead on one replicate: it is the best of all others, and not of that one."""
    scores = {
        "bayes": scored("bayes", UNSEEN, 0.2, parts=(0.4, 0.4, 0.4)),
        "lucky": scored("lucky", UNSEEN, 0.3, parts=(0.3, 0.3, 0.825)),
        "none": scored("none", UNSEEN, None),
        "likelihood_reference": scored("likelihood_reference", UNSEEN, 0.9),
    }
    names, found = best(scores)
    assert names == ("lucky", "bayes")
    # Judged by lucky, lucky and bayes: accuracies 0.3, 0.3, 0.4 of four, hence 1/15, 1/15, 1/5.
    assert found.value == pytest.approx(1 / 9)
    low, high = scipy.stats.t.interval(0.95, 2, 1 / 9, np.std([1 / 15, 1 / 15, 1 / 5], ddof=1) / 3**0.5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.method, found.units, found.n_units) == ("t", "parts", 3)


def test_choosing_the_best_of_equals_gains_nothing() -> None:
    """Of twenty attributors at chance the highest looks good; the one that is called the best does not."""
    draw = np.random.default_rng(0)
    highest, chosen = [], []
    for _ in range(300):
        parts = draw.binomial(100, 0.25, size=(20, 10)) / 100
        scores = {str(i): scored(str(i), PROMPT, 0.0, parts=tuple(row)) for i, row in enumerate(parts)}
        _, found = best(scores)
        chosen.append(found.value)
        highest.append(metrics.identifiability(parts.mean(axis=1).max(), 0.25))
    error = statistics.stdev(chosen) / 300**0.5
    assert statistics.fmean(highest) > 0.025
    assert statistics.fmean(chosen) < 3 * error


def test_one_part_cannot_choose() -> None:
    assert best({"bayes": scored("bayes", PROMPT, 0.4, parts=(0.55,))}) == ((), None)
    assert best({}) == ((), None)


def test_scores_tell_their_parts(seed_run: Any) -> None:
    """Tenths of the prompts, each a mean of credits, whose mean is the accuracy where all are of one size."""
    result, folder = seed_run
    (score,) = [score for score in result.scores if score.attributor.name == "unigram"]
    assert len(score.parts) == 10
    assert statistics.fmean(score.parts) == pytest.approx(score.metrics["accuracy"].value)
    credit, prompts = _credits(folder / "predictions.parquet", score)
    part = np.unique(prompts, return_inverse=True)[1] % 10
    assert score.parts == pytest.approx([credit[part == number].mean() for number in range(10)])


@pytest.mark.parametrize(
    "changes",
    [{"preset": "smoke"}, {"corpus": "text:x"}, {"seed": 1}, {"overrides": {"optimizer.lr": 0.1}}],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_never_share_a_table(made: Any, changes: dict[str, Any]) -> None:
    own = made("a_id", {UNSEEN: {"bayes": 0.1}})
    other = made("b_id", {UNSEEN: {"bayes": 0.2}}, **changes)
    found = leaderboards([own, other])
    assert sorted(row.task for standing in found.standings for row in standing.factors) == ["a_id", "b_id"]
    assert all(len(standing.factors) == standing.tasks == 1 for standing in found.standings)


def test_the_corpus_as_an_override_is_no_other_setting(made: Any) -> None:
    paths = [made("a_id", {UNSEEN: {"bayes": 0.1}}, overrides={"corpus.name": "text:x"}, corpus="text:x")]
    paths.append(made("b_id", {UNSEEN: {"bayes": 0.1}}, corpus="text:x"))
    (standing,) = leaderboards(paths).standings
    assert standing.setting.overrides == {}


def test_means_over_tasks_by_hand_and_by_scipy(made: Any) -> None:
    values = [0.1, 0.3, 0.8, 0.2]
    paths = [made(f"task{i}", {UNSEEN: {"bayes": at}, SEEN: {"bayes": 0.99}}) for i, at in enumerate(values[:3])]
    paths.append(made("task3", {PROMPT: {"bayes": values[3]}}))
    paths.append(made("null_id", {PROMPT: {"bayes": -1.0}}, control="negative"))
    row = attributor(leaderboards(paths), "bayes")
    assert row.tasks == 4
    assert row.identifiability.value == pytest.approx(0.35)
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    assert (row.identifiability.low, row.identifiability.high) == pytest.approx((low, high), rel=1e-12)
    assert (row.identifiability.units, row.identifiability.n_units) == ("tasks", 4)
    assert (row.fit_seconds, row.predict_seconds) == (10.0, 2.5)  # the control's as well


def test_below_three_tasks_there_is_no_interval(made: Any) -> None:
    paths = [made(f"task{i}", {UNSEEN: {"bayes": 0.1 * i}}) for i in (1, 2)]
    row = attributor(leaderboards(paths), "bayes")
    assert (row.identifiability.value, row.identifiability.low) == (pytest.approx(0.15), None)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 22, 101])
def test_student_quantile_is_that_of_scipy(df: int) -> None:
    assert student_quantile(df) == pytest.approx(scipy.stats.t.ppf(0.975, df), rel=1e-12)


def test_attributors_are_ranked_over_tasks(made: Any) -> None:
    """On all ten tasks, `first` is a little above `second` and both far above `floor`; tasks differ much more."""
    figures = {i: {"first": 0.08 * i + 0.02, "second": 0.08 * i + 0.01 * (i % 2), "floor": 0.0} for i in range(1, 11)}
    found = leaderboards([made(f"task{i}", {UNSEEN: row}) for i, row in figures.items()])
    assert {name: attributor(found, name).rank for name in ("first", "second", "floor")} == {
        "first": 1,
        "second": 2,
        "floor": 3,
    }
    first, second = ([row[name] for row in figures.values()] for name in ("first", "second"))
    assert scipy.stats.wilcoxon(first, second, alternative="greater").pvalue < 0.05 / 6
    (standing,) = found.standings
    assert [row.attributor for row in standing.attributors] == ["first", "second", "floor"]


def test_with_no_clear_difference_attributors_share_a_rank(made: Any) -> None:
    paths = [made(f"task{i}", {UNSEEN: {"x": 0.5, "y": 0.5 + 0.1 * (-1) ** i}}) for i in range(10)]
    found = leaderboards(paths)
    assert (attributor(found, "x").rank, attributor(found, "y").rank) == (1, 1)


@pytest.mark.parametrize(("tasks", "testable"), [(5, False), (6, True)])
def test_few_tasks_give_no_ranks(made: Any, tasks: int, testable: bool) -> None:
    """Two ordered pairs, each with p = 2^-tasks at the least: five tasks cannot pass Holm, whatever the figures."""
    found = leaderboards([made(f"task{i}", {UNSEEN: {"x": 0.1 * i + 0.3, "y": 0.1 * i}}) for i in range(tasks)])
    assert [attributor(found, name).rank for name in "xy"] == ([1, 2] if testable else [None, None])


def test_who_did_not_do_every_task_is_listed_without_a_rank(made: Any) -> None:
    paths = [made(f"task{i}", {UNSEEN: {"x": 0.1 * i, "y": 0.05 * i, "z": 0.9}}) for i in range(8)]
    paths.append(made("task8", {UNSEEN: {"x": 0.5, "y": 0.2, "z": None}}))
    found = leaderboards(paths)
    row = attributor(found, "z")
    assert (row.rank, row.tasks, row.failed) == (None, 8, ("task8",))
    assert row.identifiability.value == pytest.approx(0.9)
    (standing,) = found.standings
    assert [row.attributor for row in standing.attributors] == ["x", "y", "z"]  # the highest mean, but of other tasks
    assert attributor(found, "x").rank == 1


def test_two_versions_of_an_attributor_are_not_one(made: Any) -> None:
    paths = [
        made(f"task{i}", {UNSEEN: {"x": 0.2}}, scores=[scored("mine", UNSEEN, 0.5, digest=f"{i // 4}")])
        for i in range(8)
    ]
    row = attributor(leaderboards(paths), "mine")
    assert (row.digests, row.rank, row.tasks) == (("0", "1"), None, 8)


def test_results_of_one_protocol_are_one_row(made: Any) -> None:
    """Each names one attributor; the older figure of `bayes` is replaced."""
    paths = [made("a_id", {UNSEEN: figures}) for figures in ({"bayes": 0.1}, {"bayes": 0.2}, {"other": 0.3})]
    found = leaderboards(paths)
    assert factor(found, "a_id").unseen.reference.value == 0.2
    assert (attributor(found, "bayes").tasks, attributor(found, "other").tasks) == (1, 1)
    assert [origin.run.id for origin in found.origins] == ["run0", "run1", "run2"]


def test_a_later_result_of_the_level_alone_changes_nothing_of_the_factor(made: Any) -> None:
    """What is detectable is told of the instance's classes, whoever answered last."""
    of = {"target": "instance", "classes": tuple("abcdefgh"), "chance": 0.125}
    instance = scored("bayes", PROMPT, 0.6).model_copy(update=of)
    whole = made("order_id", {PROMPT: {"bayes": 0.5}}, scores=[instance])
    later = made("order_id", {PROMPT: {"late": 0.2}})
    before, after = (factor(leaderboards(paths), "order_id") for paths in ([whole], [whole, later]))
    assert before.detectable == after.detectable == pytest.approx(metrics.identifiability(0.4, 0.125))


def test_a_part_of_the_test_texts_is_a_table_of_its_own(made: Any) -> None:
    whole, part = made("seed_id", {PROMPT: {"bayes": 0.5}}), made("lr_id", {PROMPT: {"bayes": 0.1}})
    part.write_text(results.read(part).model_copy(update={"subset": 20}).to_json())
    found = leaderboards([part, whole]).standings
    assert [one.setting.subset for one in found] == [None, 20], "the whole stands first"
    assert sheets.setting_title(found[1].setting).endswith("100 texts a variant, only 20 test texts a class")
    assert "on a part of the test texts" in sheets.factor_sheet(found[1]).title


def test_an_older_protocol_of_a_task_is_shown_and_counts_for_nothing(made: Any) -> None:
    paths = [made("a_id", {UNSEEN: {"bayes": at}}, protocol_digest=f"{at}") for at in (0.9, 0.2)]
    paths.append(made("b_id", {UNSEEN: {"bayes": 0.4}}))
    found = leaderboards(paths)
    (standing,) = found.standings
    assert [(row.task, row.protocol_digest, row.section) for row in standing.factors] == [
        ("b_id", "protocol of b_id", "held-out runs"),
        ("a_id", "0.2", "held-out runs"),
        ("a_id", "0.9", "older protocol"),
    ]
    assert standing.tasks == 2
    assert attributor(found, "bayes").identifiability.value == pytest.approx(statistics.fmean([0.2, 0.4]))


def test_a_real_result_has_its_row(seed_run: Any) -> None:
    result, folder = seed_run
    found = leaderboards([folder / "result.json"])
    row = factor(found, "seed_id")
    by_name = {score.attributor.name: score for score in result.scores}
    assert row.section == "seen runs only"
    assert row.seen.reference == by_name[result.study.reference].metrics["identifiability"]
    assert row.seen.ceiling == by_name["ceiling"].metrics["identifiability"]
    assert (row.length, row.parity) == (result.study.length, result.study.parity)
    assert Leaderboards.model_validate_json(found.model_dump_json()) == found
    (origin,) = found.origins
    assert origin.run == result.run


@pytest.fixture
def board(natfp: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Call `natfp-bench leaderboard`."""
    return functools.partial(natfp, "leaderboard")


@pytest.fixture
def two(made: Any) -> list[Path]:
    return [made(task, {UNSEEN: {"bayes": 0.1, "likelihood_reference": 0.2}}) for task in ("a_id", "b_id")]


def test_the_command_prints_both_leaderboards(board: Any, two: list[Path]) -> None:
    code, out, err = board(*two)
    assert (code, err) == (0, "")
    assert "factors: how identifiable?" in out
    assert "attributors: who tells best?" in out
    assert "which level of 4?" not in out
    assert board(*two, "--boards")[1].count("which level of 4?") == 2
    assert board(two[0])[1].count("which level of 4?") == 1  # one task is asked for: so is its board


def test_the_command_writes_json_and_markdown(board: Any, two: list[Path], tmp_path: Path) -> None:
    found = json.loads(board(*two, "--json")[1])
    assert [row["task"] for standing in found["standings"] for row in standing["factors"]] == ["a_id", "b_id"]
    assert len(found["boards"]) == 2
    file = tmp_path / "docs" / "results.md"
    code, out, _ = board(*two, "--format", "md", "-o", file)
    assert (code, out) == (0, "")
    assert file.read_text() == board(*two, "--format", "md")[1]
    board(*two, "--json", "-o", file)
    assert json.loads(file.read_text()) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "mdd"], "did you mean: md"),
        (["-o", "x.md"], "add --format md"),
        (["--format", "md", "-o", "/dev/null/x.md"], "/dev/null/x.md: cannot be written"),
    ],
)
def test_the_command_says_what_is_wrong(board: Any, two: list[Path], arguments: list[str], said: str) -> None:
    code, out, err = board(*two, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_the_command_goes_on_past_a_damaged_result(board: Any, two: list[Path]) -> None:
    two[0].write_text("{")
    code, out, err = board(*two)
    assert code == 1
    assert f"skipped: {two[0]}" in err
    assert "b_id" in out


def test_many_tasks_are_ranked_without_a_slow_import(made: Any, tmp_path: Path) -> None:
    for i in range(10):
        made(f"task{i}", {UNSEEN: {"x": 0.05 * i + 0.1, "y": 0.05 * i}})
    code = (
        "import sys; from natfp_bench.cli.main import main\n"
        f"sys.argv = ['natfp-bench', 'leaderboard', {str(tmp_path)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('loaded:', [name for name in ('scipy', 'sklearn', 'torch', 'transformers') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).resolve().parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "loaded: []"
    assert "±" in ran.stdout
