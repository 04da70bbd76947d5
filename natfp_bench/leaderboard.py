"""Leaderboards: tables over results, as plain records that a console, a page or a program can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from . import metrics, results
from .errors import UserError
from .metrics import Interval
from .records import Record
from .results import Result, Score

REFERENCE_COLUMNS = ("accuracy", "identifiability", "bits", "macro_f1")


class Row(Record):
    """One attributor on one board; the ceiling has no rank."""

    attributor: str
    access: str
    rank: int | None
    error: str | None
    accuracy: Interval | None
    identifiability: Interval | None
    bits: Interval | None
    macro_f1: Interval | None
    log10_p: float | None


class Board(Record):
    """Attributors that guessed the same target of the same texts, best first, the ceiling last."""

    task: str
    preset: str
    corpus: str
    protocol_digest: str
    split: str
    target: str
    classes: int
    chance: float
    n_test: int | None
    rows: tuple[Row, ...]


def boards(paths: Sequence[Path]) -> tuple[list[Board], list[str]]:
    """Build the boards of result files; returns them with one line for each file that could not be read.

    Results rank together only where their protocol digests agree; of two results of one attributor the newer counts.
    """
    found: dict[str, list[tuple[Path, Result]]] = {}
    faults = []
    for path in paths:
        try:
            result = results.read(path)
        except UserError as error:
            faults.append(str(error))
            continue
        found.setdefault(result.protocol_digest, []).append((path, result))
    made = []
    for group in found.values():
        group.sort(key=lambda pair: (pair[1].run.started, pair[1].run.id))
        for target in dict.fromkeys(score.target for _, result in group for score in result.scores):
            made.append(_board(group, target, faults))
    return sorted(made, key=lambda board: (board.task, board.preset, board.corpus, board.target)), faults


def _board(group: Sequence[tuple[Path, Result]], target: str, faults: list[str]) -> Board:
    newest: dict[str, tuple[Path, Score]] = {}
    for path, result in group:
        for score in result.scores:
            if score.target == target:
                newest[score.attributor.name] = (path, score)
    _, last = group[-1]
    ranked = {name: pair for name, pair in newest.items() if pair[1].rank is not None}
    ranks = _ranks(ranked, target, last.seed, faults)
    rows = [_row(score, ranks.get(name)) for name, (_, score) in newest.items()]
    rows.sort(key=lambda row: (row.access != "text", row.rank is None, -(row.accuracy.value if row.accuracy else 0.0)))
    any_score = next(score for _, score in newest.values())
    return Board(
        task=last.task.name,
        preset=last.preset,
        corpus=last.corpus.name,
        protocol_digest=last.protocol_digest,
        split=any_score.split,
        target=target,
        classes=len(any_score.classes),
        chance=any_score.chance,
        n_test=next((score.n_test for _, score in newest.values() if score.n_test), None),
        rows=tuple(rows),
    )


def _ranks(scores: dict[str, tuple[Path, Score]], target: str, seed: int, faults: list[str]) -> dict[str, int]:
    """Ranks of one result as it states them; of several, recomputed on the texts that they share."""
    if len({path for path, _ in scores.values()}) <= 1:
        return {name: score.rank for name, (_, score) in scores.items() if score.rank is not None}
    credit: dict[str, metrics.Floats] = {}
    prompts: metrics.Ints = np.empty(0, dtype=np.int64)
    for name, (path, score) in scores.items():
        try:
            credit[name], prompts = _credits(path.parent / "predictions.parquet", name, target, score)
        except UserError as error:
            faults.append(str(error))
    return metrics.ranks(credit, prompts, seed)


def _credits(path: Path, name: str, target: str, score: Score) -> tuple[metrics.Floats, metrics.Ints]:
    """Credit and prompt of each text that an attributor guessed; raises UserError where the file is no such table."""
    filters = [("target", "==", target), ("attributor", "==", name)]
    try:
        table = pq.read_table(path, columns=["prompt", "label", "proba"], filters=filters)
        proba = np.array(table["proba"].to_pylist(), dtype=np.float64)
        truth = np.array([score.classes.index(label) for label in table["label"].to_pylist()], dtype=np.int64)
        if proba.shape != (score.n_test, len(score.classes)):
            raise ValueError(f"answers of shape {proba.shape} by {name}")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: missing or damaged, so {name} has no rank ({error})") from None
    return metrics.credits(proba, truth), table["prompt"].to_numpy()


def _row(score: Score, rank: int | None) -> Row:
    return Row(
        attributor=score.attributor.name,
        access=score.attributor.access,
        rank=rank,
        error=score.error,
        log10_p=score.log10_p,
        **{name: score.metrics.get(name) for name in REFERENCE_COLUMNS},
    )
