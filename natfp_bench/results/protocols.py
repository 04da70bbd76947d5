"""Boards: attributors that answered for the same texts of one protocol, ranked.

Results of one protocol are merged before anything else; results of different protocols never rank together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import metrics
from natfp_bench.statistics.metrics import Interval

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
    """Attributors that guessed the same target of the same texts after the same fits, best first, the ceiling last."""

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


class Setting(Record):
    """What results must share for their figures to stand in one table; `corpus.name` is told once, as the corpus."""

    preset: str
    corpus: str
    overrides: dict[str, str | int | float | bool]
    seed: int
    texts: int | None
    fixed_texts: bool = False
    subset: int | None = None


@dataclass(frozen=True)
class Protocol:
    """Results of one protocol with their files, the newest last."""

    results: Sequence[tuple[Path, Result]]

    @property
    def newest(self) -> Result:
        """The result whose studies count."""
        return self.results[-1][1]

    @cached_property
    def scores(self) -> dict[tuple[str, str], dict[str, tuple[Path, Score]]]:
        """The newest score of each attributor, with its file, by target and split."""
        found: dict[tuple[str, str], dict[str, tuple[Path, Score]]] = {}
        for path, result in self.results:
            for score in result.scores:
                found.setdefault((score.target, score.split), {})[score.attributor.name] = (path, score)
        return found

    def level(self, split: str) -> dict[str, Score]:
        """Scores of the level on one split, by attributor; none where there is no such split."""
        return {name: score for name, (_, score) in self.scores.get(("level", split), {}).items()}

    @cached_property
    def main(self) -> dict[str, Score]:
        """What the attributors of texts reached on the split that the task is about, by name."""
        scores = self.level(UNSEEN_REPLICATE) or self.level(UNSEEN_PROMPT)
        return {name: score for name, score in scores.items() if score.attributor.access == "text"}

    @property
    def failed(self) -> set[str]:
        """Attributors that failed on a target."""
        return {name for view in self.scores.values() for name, (_, score) in view.items() if score.status == "failed"}

    @cached_property
    def seconds(self) -> dict[str, dict[str, float]]:
        """Newest seconds of fit and prediction, by target/name."""
        return {name: spent for _, result in self.results for name, spent in result.run.attributors.items()}

    @cached_property
    def setting(self) -> Setting:
        """The table that the protocol belongs to."""
        of = self.newest
        return Setting(
            preset=of.preset,
            corpus=of.corpus.name,
            overrides={name: value for name, value in sorted(of.overrides.items()) if name != "corpus.name"},
            seed=of.seed,
            texts=of.samples.per_variant if of.samples else None,
            fixed_texts=of.fixed_texts is not None,
            subset=of.subset,
        )


def boards(paths: Sequence[Path]) -> tuple[list[Board], list[str]]:
    """Build the boards alone; returns them with one line for each file that could not be read.

    Results rank together only where their protocol digests agree; of two results of one attributor the newer counts.
    """
    protocols, faults = read_protocols(paths)
    return make_boards(protocols, faults), faults


def read_protocols(paths: Sequence[Path]) -> tuple[list[Protocol], list[str]]:
    """Results with scores, by protocol; and a line for each file that holds none."""
    found: dict[str, list[tuple[Path, Result]]] = {}
    faults = []
    for path in paths:
        try:
            result = results.read(path)
        except UserError as error:
            faults.append(str(error))
            continue
        if result.scores:
            found.setdefault(result.protocol_digest, []).append((path, result))
        else:
            faults.append(f"{path}: no scores ({'; '.join(result.failures) or 'nobody was asked'})")
    protocols = [
        Protocol(sorted(group, key=lambda pair: (pair[1].run.started, pair[1].run.id))) for group in found.values()
    ]
    return protocols, faults


def make_boards(protocols: Sequence[Protocol], faults: list[str]) -> list[Board]:
    """Build a board for each target and split of each protocol; what cannot be ranked is added to the faults."""
    made = [_board(protocol, *view, faults) for protocol in protocols for view in protocol.scores]
    return sorted(made, key=lambda board: (board.task, board.preset, board.corpus, board.target, _place(board.split)))


def _place(split: str) -> int:
    """Splits in the order in which people look at them."""
    order = (UNSEEN_REPLICATE, SEEN_REPLICATE, UNSEEN_PROMPT)
    return order.index(split) if split in order else len(order)


def _board(protocol: Protocol, target: str, split: str, faults: list[str]) -> Board:
    newest, last = protocol.scores[target, split], protocol.newest
    ranked = {name: pair for name, pair in newest.items() if pair[1].rank is not None}
    ranks = _ranks(ranked, last.seed, faults)
    rows = [_row(score, ranks.get(name)) for name, (_, score) in newest.items()]
    rows.sort(key=lambda row: (row.access != "text", row.rank is None, -(row.accuracy.value if row.accuracy else 0.0)))
    any_score = next(score for _, score in newest.values())
    return Board(
        task=last.task.name,
        preset=last.preset,
        corpus=last.corpus.name,
        protocol_digest=last.protocol_digest,
        split=split,
        target=target,
        classes=len(any_score.classes),
        chance=any_score.chance,
        n_test=next((score.n_test for _, score in newest.values() if score.n_test), None),
        rows=tuple(rows),
    )


def _ranks(scores: Mapping[str, tuple[Path, Score]], seed: int, faults: list[str]) -> dict[str, int]:
    """Ranks of one result as it states them; of several, recomputed on the texts that they share."""
    if len({path for path, _ in scores.values()}) <= 1:
        return {name: score.rank for name, (_, score) in scores.items() if score.rank is not None}
    credit: dict[str, metrics.Floats] = {}
    prompts: metrics.Ints = np.empty(0, dtype=np.int64)
    for name, (path, score) in scores.items():
        try:
            credit[name], prompts = _credits(path.parent / "predictions.parquet", score)
        except UserError as error:
            faults.append(str(error))
    return metrics.ranks(credit, prompts, seed)


def _credits(path: Path, score: Score) -> tuple[metrics.Floats, metrics.Ints]:
    """Credit and prompt of each answer that a score is about; raises UserError where the file is no such table."""
    name = score.attributor.name
    filters = [("target", "==", score.target), ("split", "==", score.split), ("attributor", "==", name)]
    try:
        table = pq.read_table(path, columns=["prompt", "label", "proba"], filters=filters)
        proba = np.array(table["proba"].to_pylist(), dtype=np.float64)
        truth = np.array([score.classes.index(label) for label in table["label"].to_pylist()], dtype=np.int64)
        if table["prompt"].null_count or proba.shape != (score.n_test, len(score.classes)):
            raise ValueError(f"answers of shape {proba.shape} by {name}")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
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
