"""Texts, answers and training curves on pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from report_sites import make, page

from natfp_bench.report import page_texts
from natfp_bench.results.protocols import Protocol


def test_training_and_texts_come_from_the_store_or_a_note_says_what_is_missing(
    site: Any, rate_run: Any, tmp_path: Path
) -> None:
    shown = page(site[1], "task.html", "rate").shown
    assert shown["log_note"] == ""
    groups = shown["texts"].groups
    assert [text.level for text in groups[0]] == ["low", "middle", "high"]
    assert {answer.attributor for answer in groups[0][0].answers} >= {"unigram", "naive_bayes", "majority"}
    made = make([rate_run[1]], tmp_path / "empty-store", tmp_path / "site")
    gone = page(made, "task.html", "rate")
    assert "training" not in {figure.name for figure in gone.figures}
    assert "natfp-bench run" in gone.shown["log_note"]
    assert gone.shown["texts"].groups == ()
    assert "natfp-bench run" in gone.shown["texts"].note
    assert not (tmp_path / "empty-store").exists()


def test_texts_are_shown_as_they_are(site: Any, bench: Any, rate_run: Any) -> None:
    """No text is empty, and answers are those of the predictions."""
    result, folder = rate_run
    protocol = Protocol([(folder / "result.json", result)])
    answers = page_texts.LevelAnswers.of(protocol)
    found = page_texts.page_texts(protocol, answers, bench.store)
    assert len(found.groups) == page_texts.GROUPS
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert len(found.game) == page_texts.GAME
    assert {text.level for text in found.game} == set(result.factor.levels)
    shown = ["".join(piece for piece, _ in text.segments) for text in found.game]
    assert not {text for texts in found.examples.values() for text in texts} & set(shown), "no answer is given away"
    for group in [*found.groups, found.game]:
        for text in group:
            assert "".join(segment for segment, _ in text.segments).strip()
            for answer in text.answers:
                own = [row for row in rows if (row["variant"], row["attributor"]) == (text.variant, answer.attributor)]
                assert any(np.isclose(max(row["proba"]), answer.of_guess) for row in own)
                assert answer.right in (answer.guess == text.level, None)
                assert (answer.right is None) == answer.guess.startswith("any of ")


def test_a_changed_training_log_is_not_shown(bench: Any, seed_run: Any, tmp_path: Path) -> None:
    result = seed_run[0]
    store = tmp_path / "store"
    for variant in result.variants:
        place = Path("model", variant.key[:2], variant.key)
        shutil.copytree(bench.store / place, store / place)
    logs, note = page_texts.training_logs(result, store)
    assert (sorted(logs), note) == (sorted(variant.name for variant in result.variants), "")
    first = result.variants[0]
    log = store / "model" / first.key[:2] / first.key / "train_log.jsonl"
    log.write_text(log.read_text().replace('"loss"', '"lost"'))
    logs, note = page_texts.training_logs(result, store)
    assert first.name not in logs
    assert f"does not hold the training of {first.name}." in note


def test_calibration_counts_every_guess() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 2000)
    credit = (rng.uniform(size=2000) < confidence).astype(float)
    rows = page_texts.calibration(
        [np.array([confidence[:900], credit[:900]]), np.array([confidence[900:], credit[900:]])]
    )
    assert len(rows) == page_texts.BINS
    assert sum(row["texts"] for row in rows) == 2000
    assert all(abs(row["confidence"] - row["value"]) < 0.12 for row in rows)
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    constant = np.array([np.full(50, 0.25), np.full(50, 0.25)])
    assert page_texts.calibration([constant]) == [{"confidence": 0.25, "value": 0.25, "texts": 50}]
    assert page_texts.calibration([]) == []


def test_damaged_predictions_hide_only_texts_and_calibration(seed_run: Any, bench: Any, tmp_path: Path) -> None:
    shutil.copytree(seed_run[1], tmp_path / "run")
    (tmp_path / "run" / "predictions.parquet").write_bytes(b"PAR1")
    made = make([tmp_path / "run"], bench.store, tmp_path / "site")
    assert "predictions.parquet: missing or damaged" in page(made, "task.html").shown["texts"].note
    assert {figure.name for figure in page(made, "attributor.html", "unigram").figures} == {"tasks"}
