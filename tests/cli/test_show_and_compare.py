"""A finished run printed again, and two results side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import PROMPT, SEEN, UNSEEN, write_result

from natfp_bench.pipeline import result_files as results
from natfp_bench.report.finding import finding
from natfp_bench.results import comparison


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A result of a factor, and beside it one of a seed."""
    fields = {"factor__name": "peak learning rate", "factor__fields": ("optimizer.lr",)}
    figures = {UNSEEN: {"bayes": 0.4, "trees": 0.2}, SEEN: {"bayes": 0.6, "trees": 0.3, "ceiling": 0.9}}
    write_result(tmp_path, "lr_id", figures, **fields)
    write_result(tmp_path, "seed_id", {PROMPT: {"bayes": 0.5}})
    return tmp_path


def test_show_prints_the_finding_first_then_the_board_and_its_columns(natfp: Any, made: Path) -> None:
    code, out, err = natfp("show", made / "0")
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert " ".join(lines[1].split()) in finding(results.read(made / "0" / "result.json"))
    assert lines.index("which level of 4? (texts of models that no attributor saw)") < 8
    board = next(line for line in lines if "bayes" in line and "0.550" in line)
    assert "0.700" in board  # on seen replicates
    for column in ("rank", "accuracy", "ident.", "seen", "gap", "p-value"):
        assert any(line.startswith(f"{column} ") for line in lines), column
    assert "held-out text" not in out
    assert out.endswith(f"everything else: natfp-bench show {made / '0'} --details\n")


def test_show_details_adds_every_board(natfp: Any, made: Path) -> None:
    out = natfp("show", made / "0" / "result.json", "--details")[1]
    assert "which level of 4? (seen replicates)" in out
    assert "the factor: peak learning rate" in out


def test_show_says_what_is_wrong_with_a_path(natfp: Any, made: Path) -> None:
    assert natfp("show", "none/result.json")[0] == 2
    code, _, err = natfp("show", made)
    assert (code, "holds 2 results" in err) == (2, True)


def test_a_board_fits_eighty_columns_and_breaks_no_word(natfp: Any, made: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("natfp_bench.cli.terminal.WIDE", 80)
    out = natfp("show", made / "0")[1]
    assert max(map(len, out.split("took")[0].splitlines())) <= 80
    for word in ("identifiability:", "significantly", "permutation", "attributor"):
        assert word in out


def test_other_questions_are_compared_by_identifiability_alone(natfp: Any, made: Path) -> None:
    code, out, err = natfp("compare", made / "0", made / "1")
    assert (code, err) == (0, "")
    assert "Other questions: only identifiability is compared" in out
    assert "differs: task: lr_id against seed_id" in out
    found = json.loads(natfp("compare", made / "0", made / "1", "--json")[1])
    (bayes,) = [one for one in found["scores"] if (one["attributor"], one["split"]) == ("bayes", SEEN)]
    assert (bayes["measure"], bayes["paired"], bayes["p"]) == ("identifiability", False, None)
    assert bayes["difference"]["value"] == pytest.approx(-0.1)
    assert bayes["difference"]["high"] - bayes["difference"]["value"] == pytest.approx(np.hypot(0.01, 0.01))


def test_other_texts_of_one_task_are_not_paired(tmp_path: Path, natfp: Any) -> None:
    for seed in (0, 1):
        write_result(tmp_path, "seed_id", {PROMPT: {"bayes": 0.4 + seed / 10}}, seed=seed, protocol_digest=f"{seed}")
    out = natfp("compare", tmp_path / "0", tmp_path / "1")[1]
    assert "other texts: differences are not paired" in out
    assert "differs: seed: 0 against 1" in out


def test_results_without_their_predictions_say_so_and_are_compared_by_intervals(tmp_path: Path) -> None:
    for _ in range(2):
        write_result(tmp_path, "seed_id", {PROMPT: {"bayes": 0.4}})
    found = comparison.compare(tmp_path / "0", tmp_path / "1")
    assert found.relation == "same texts"
    assert "bayes (unseen_prompt) is not paired" in found.notes[0]
    assert not found.scores[0].paired


def test_the_same_texts_are_paired(seed_run: Any, natfp: Any) -> None:
    found = comparison.compare(seed_run[1], seed_run[1])
    assert found.differs == ()
    for one in found.scores:
        assert one.paired
        assert one.same_code
        assert (one.difference and one.difference.value, one.p) == (0.0, 1.0)
    assert "The same texts: differences are paired" in natfp("compare", seed_run[1], seed_run[1])[1]


def test_a_difference_has_its_sign_whatever_the_order_of_the_rows(seed_run: Any, tmp_path: Path) -> None:
    """The other run has the rows in another order, and its naive Bayes guesses blindly."""
    result, folder = seed_run
    table = pq.read_table(folder / "predictions.parquet")
    table = table.take(np.random.default_rng(0).permutation(len(table)))
    blind = [
        [1 / len(proba)] * len(proba) if name == "naive_bayes" else proba
        for name, proba in zip(table["attributor"].to_pylist(), table["proba"].to_pylist(), strict=True)
    ]
    at = table.schema.get_field_index("proba")
    table = table.set_column(at, table.schema.field(at), pa.array(blind, table.schema.field(at).type))
    pq.write_table(table, tmp_path / "predictions.parquet")
    (tmp_path / "result.json").write_bytes((folder / "result.json").read_bytes())

    found = {one.attributor: one for one in comparison.compare(folder, tmp_path).scores if one.split == PROMPT}
    level = [of for of in result.scores if (of.split, of.target) == (PROMPT, "level")]
    [true] = [of for of in level if of.attributor.name == "naive_bayes"]
    bayes = found["naive_bayes"]
    assert bayes.difference
    assert bayes.difference.value == pytest.approx(true.chance - true.metrics["accuracy"].value)
    assert bayes.difference.high is not None
    assert bayes.difference.high < 0
    assert bayes.p is not None
    assert bayes.p < 0.01
    assert (found["unigram"].difference and found["unigram"].difference.value, found["unigram"].p) == (0.0, 1.0)
