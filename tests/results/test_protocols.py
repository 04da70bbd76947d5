"""Boards: results of one protocol rank together, others never do, and a damaged one is skipped by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from natfp_bench.results.protocols import boards


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


def test_damaged_predictions_cost_a_rank_and_are_named(apart: dict[str, Path], tmp_path: Path) -> None:
    bad = edited(apart["char_ngram"], tmp_path / "bad")
    path = bad.parent / "predictions.parquet"
    path.write_bytes(b"PAR1 and no more")
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
    assert fault.startswith(f"{empty}: no scores")


def test_boards_are_sorted_and_both_targets_shown(seed_run: Any, tmp_path: Path) -> None:
    own = seed_run[1] / "result.json"
    data = json.loads(own.read_text())
    instance = {"target": "instance", "classes": [variant["name"] for variant in data["variants"]]}
    both = data["scores"] + [score | instance for score in data["scores"]]
    task = data["task"] | {"name": "a_task"}
    other = edited(own, tmp_path / "other", scores=both, task=task, protocol_digest="1" * 64)
    found, _ = boards([own, other])
    assert [(board.task, board.target) for board in found] == [
        ("a_task", "instance"),
        ("a_task", "level"),
        ("seed_id", "level"),
    ]


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
