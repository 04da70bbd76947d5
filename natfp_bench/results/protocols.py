"""Boards: the attributors that answered for the same texts of one protocol, ranked.

Results of one protocol are merged first. Results of different protocols never rank together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.base.rungs import Rung, height
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import intervals, paired
from natfp_bench.statistics.intervals import Interval

from .predictions import PredictionFiles

REFERENCE_COLUMNS = ("accuracy", "identifiability", "bits", "macro_f1")


class Row(Record):
    """One attributor on one board, ranked among those of its rung (`knowledge`); the ceiling has no rank."""

    attributor: str
    access: str
    knowledge: Rung = "texts"
    rank: int | None
    error: str | None
    accuracy: Interval | None
    identifiability: Interval | None
    bits: Interval | None
    macro_f1: Interval | None
    log10_p: float | None


class ProtocolId(Record):
    """The protocol that a result belongs to, by name and by digest."""

    task: str
    preset: str
    corpus: str
    protocol_digest: str

    @classmethod
    def fields_of(cls, result: Result) -> dict[str, str]:
        """Values of these fields."""
        return {
            "task": result.task.name,
            "preset": result.preset,
            "corpus": result.corpus.name,
            "protocol_digest": result.protocol_digest,
        }


class Board(ProtocolId):
    """Attributors that guessed the same target of the same texts after the same fits, rung by rung, the best first.

    The lowest rung comes first, and the ceiling last.
    """

    split: str
    target: str
    classes: int
    chance: float
    n_test: int | None
    rows: tuple[Row, ...]


class Setting(Record):
    """What results must share for their figures to be in one table; overrides do not repeat `corpus.name`."""

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
        """Scores of the level on one split, by attributor; empty if there is no such split."""
        return {name: score for name, (_, score) in self.scores.get(("level", split), {}).items()}

    @property
    def main_split(self) -> str:
        """Split that the task is about: unseen replicates if any are held out, else unseen prompts."""
        return UNSEEN_REPLICATE if ("level", UNSEEN_REPLICATE) in self.scores else UNSEEN_PROMPT

    @cached_property
    def main(self) -> dict[str, Score]:
        """Scores of the attributors of texts on the main split, by name."""
        return {name: score for name, score in self.level(self.main_split).items() if score.attributor.access == "text"}

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

    Results rank together only if their protocol digests agree; the newer of two scores of one attributor counts.
    """
    protocols, faults = read_protocols(paths)
    return make_boards(protocols, faults), faults


def read_protocols(paths: Sequence[Path]) -> tuple[list[Protocol], list[str]]:
    """Read results with scores, by protocol; returns them with a line for each file that has none."""
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
            faults.append(f"{path}: no scores ({'; '.join(result.failures) or 'no attributor was asked'})")
    protocols = [
        Protocol(sorted(group, key=lambda pair: (pair[1].run.started, pair[1].run.id))) for group in found.values()
    ]
    return protocols, faults


def make_boards(protocols: Sequence[Protocol], faults: list[str]) -> list[Board]:
    """Build a board for each target and split of each protocol; adds a line to the faults for what cannot be ranked."""
    files = PredictionFiles()
    made = [_board(protocol, *view, files, faults) for protocol in protocols for view in protocol.scores]
    return sorted(made, key=lambda board: (board.task, board.preset, board.corpus, board.target, _place(board.split)))


def _place(split: str) -> int:
    """Splits in the order of their importance."""
    order = (UNSEEN_REPLICATE, SEEN_REPLICATE, UNSEEN_PROMPT)
    return order.index(split) if split in order else len(order)


def _board(protocol: Protocol, target: str, split: str, files: PredictionFiles, faults: list[str]) -> Board:
    newest, last = protocol.scores[target, split], protocol.newest
    ranked = {name: pair for name, pair in newest.items() if pair[1].rank is not None}
    ranks = _ranks(ranked, last.seed, files, faults)
    rows = [_row(score, ranks.get(name)) for name, (_, score) in newest.items()]
    rows.sort(key=_row_place)
    any_score = next(score for _, score in newest.values())
    return Board(
        **ProtocolId.fields_of(last),
        split=split,
        target=target,
        classes=len(any_score.classes),
        chance=any_score.chance,
        n_test=next((score.n_test for _, score in newest.values() if score.n_test), None),
        rows=tuple(rows),
    )


def _row_place(row: Row) -> tuple[bool, int, bool, float]:
    likelihood = row.access != "text"
    return likelihood, height(row.knowledge), row.rank is None, -(row.accuracy.value if row.accuracy else 0.0)


def _ranks(
    scores: Mapping[str, tuple[Path, Score]], seed: int, files: PredictionFiles, faults: list[str]
) -> dict[str, int]:
    """Ranks as a single result states them; those of several results are computed anew from their predictions."""
    if len({path for path, _ in scores.values()}) <= 1:
        return {name: score.rank for name, (_, score) in scores.items() if score.rank is not None}
    credit: dict[str, intervals.Floats] = {}
    prompts: intervals.Ints = np.empty(0, dtype=np.int64)
    for name, (path, score) in scores.items():
        try:
            answers = files.of(path, score)
        except UserError as error:
            faults.append(f"{name} has no rank: {error}")
            continue
        credit[name], prompts = answers.credit, answers.prompts
    rungs = {name: score.attributor.knowledge for name, (_, score) in scores.items()}
    return paired.ranks_within(rungs, credit, prompts, seed)


def _row(score: Score, rank: int | None) -> Row:
    return Row(
        attributor=score.attributor.name,
        access=score.attributor.access,
        knowledge=score.attributor.knowledge,
        rank=rank,
        error=score.error,
        log10_p=score.log10_p,
        **{name: score.metrics.get(name) for name in REFERENCE_COLUMNS},
    )
