"""Leaderboards: tables over results, as plain records that a console, a page or a program can show.

Three views of the same results. Factors: how identifiable is each? Attributors: who tells factors best, task by task?
Boards: who is better on the texts of one protocol? Results of one protocol are merged before anything else, and figures
of different settings (presets, corpora, overrides, ...) never stand in one table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow.parquet as pq

from . import metrics, replication, results
from .errors import UserError
from .metrics import Interval
from .records import Record, canonical_json
from .replication import Equivalence
from .results import Length, Result, RunInfo, Score
from .split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE

REFERENCE_COLUMNS = ("accuracy", "identifiability", "bits", "macro_f1")

FEWEST_TASKS = 3
"""As with replicates: below three an interval says nothing."""

Section = Literal["held-out runs", "seen runs only", "positive control", "negative control", "older protocol"]
"""Parts of the table of factors, in their order."""


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


class Identified(Record):
    """How well the level was told on one split: identifiability by the reference attributor, the best, the ceiling.

    bits: the reference attributor's; the ceiling is None where the likelihoods bound nothing (`likelihood_reference`).
    """

    split: str
    reference: Interval | None
    best: Interval | None
    ceiling: Interval | None
    bits: Interval | None
    ceiling_bits: Interval | None


class FactorRow(Record):
    """How identifiable a factor is, and what that rests on.

    unseen: on replicates that no fit has seen, None where the task holds none out. seen: on unseen prompts of the runs
    that the fits know. best: the attributor called so, chosen without this task (see `best_elsewhere`).
    permutation: the test of the factor; log10_p: where there is none, the exact binomial test of the reference
    attributor's accuracy, which speaks of these runs alone.
    detectable: smallest identifiability that would have been found with a power of 0.8; on unseen replicates, else of
    the instance (of the level, where a level is an instance).
    current: whether this is the newest protocol of its task in the table; older ones are shown but count for nothing.
    """

    task: str
    factor: str
    control: Literal["negative", "positive"] | None
    protocol_digest: str
    levels: int
    replicates: int
    reference: str | None
    best: str | None
    unseen: Identified | None
    seen: Identified | None
    mutual_information: Interval | None
    permutation: replication.Test | None
    log10_p: float | None
    detectable: float | None
    length: Length | None
    parity: Equivalence | None
    current: bool

    @property
    def section(self) -> Section:
        """The part of the table that a row stands in; only rows of one part compare."""
        if not self.current:
            return "older protocol"
        if self.control:
            return "negative control" if self.control == "negative" else "positive control"
        return "held-out runs" if self.unseen else "seen runs only"


class AttributorRow(Record):
    """How well an attributor tells levels over the tasks of a table, controls left out.

    identifiability: mean over the tasks that it did, on their main splits (unseen replicates where they are held out),
    with Student's 95% interval over tasks. rank: 1 + attributors that are significantly better (see `_ranks_over`);
    None for one that did not do every task by one and the same code (`digests`). failed: tasks on which it failed.
    Seconds are those of all its fits and answers, over all tasks and targets, controls included.
    """

    attributor: str
    floor: bool
    digests: tuple[str | None, ...]
    rank: int | None
    identifiability: Interval | None
    tasks: int
    failed: tuple[str, ...]
    fit_seconds: float
    predict_seconds: float


class Standing(Record):
    """Both leaderboards of one setting; tasks: how many count for the attributors."""

    setting: Setting
    factors: tuple[FactorRow, ...]
    attributors: tuple[AttributorRow, ...]
    tasks: int


class Origin(Record):
    """How one result was made."""

    task: str
    preset: str
    corpus: str
    protocol_digest: str
    run: RunInfo


class Leaderboards(Record):
    """All that a set of results says; faults: one line for each file, or part of one, that could not be used."""

    standings: tuple[Standing, ...]
    boards: tuple[Board, ...]
    origins: tuple[Origin, ...]
    faults: tuple[str, ...]


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
        )


def leaderboards(paths: Sequence[Path]) -> Leaderboards:
    """Build every leaderboard of result files; a file that cannot be read is skipped and named."""
    protocols, faults = _read(paths)
    made = _boards(protocols, faults)
    origins = [
        Origin(
            task=result.task.name,
            preset=result.preset,
            corpus=result.corpus.name,
            protocol_digest=result.protocol_digest,
            run=result.run,
        )
        for protocol in protocols
        for _, result in protocol.results
    ]
    return Leaderboards(
        standings=tuple(_standings(protocols)),
        boards=tuple(made),
        origins=tuple(sorted(origins, key=lambda of: (of.preset, of.corpus, of.task, of.run.started, of.run.id))),
        faults=tuple(faults),
    )


def boards(paths: Sequence[Path]) -> tuple[list[Board], list[str]]:
    """Build the boards alone; returns them with one line for each file that could not be read.

    Results rank together only where their protocol digests agree; of two results of one attributor the newer counts.
    """
    protocols, faults = _read(paths)
    return _boards(protocols, faults), faults


def _read(paths: Sequence[Path]) -> tuple[list[Protocol], list[str]]:
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


def _boards(protocols: Sequence[Protocol], faults: list[str]) -> list[Board]:
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


def _standings(protocols: Sequence[Protocol]) -> list[Standing]:
    """Both leaderboards of every setting, sorted by preset and corpus."""
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        groups.setdefault(canonical_json(protocol.setting), []).append(protocol)
    made = [_standing(group) for group in groups.values()]
    return sorted(made, key=lambda one: (one.setting.preset, one.setting.corpus, canonical_json(one.setting)))


def _standing(group: Sequence[Protocol]) -> Standing:
    # A task that was changed since is another protocol; were both to count, it would count twice.
    newest: dict[str, Protocol] = {}
    for protocol in sorted(group, key=lambda of: of.newest.run.started):
        newest[protocol.newest.task.name] = protocol
    counted = {name: of for name, of in newest.items() if of.newest.task.control is None}
    main = {name: of.main for name, of in counted.items()}
    everywhere = _did_all(main)
    factors = [_factor_row(of, main, everywhere, current=of is newest[of.newest.task.name]) for of in group]
    order = get_args(Section)
    factors.sort(key=lambda row: (order.index(row.section), -_height(row), row.task, row.protocol_digest))
    return Standing(
        setting=group[0].setting,
        factors=tuple(factors),
        attributors=tuple(_attributor_rows([*newest.values()], main, everywhere)),
        tasks=len(main),
    )


def _height(row: FactorRow) -> float:
    shown = row.unseen or row.seen
    return shown.reference.value if shown and shown.reference else -math.inf


def _factor_row(
    protocol: Protocol, main: Mapping[str, Mapping[str, Score]], everywhere: Sequence[str], *, current: bool
) -> FactorRow:
    result = protocol.newest
    study = result.study
    reference = study.reference if study else None
    best = best_elsewhere(result.task.name, main, everywhere, reference)

    def identified(split: str) -> Identified | None:
        if not (scores := protocol.level(split)):
            return None

        def metric(who: str | None, name: str) -> Interval | None:
            return scores[who].metrics.get(name) if who in scores else None

        return Identified(
            split=split,
            reference=metric(reference, "identifiability"),
            best=metric(best, "identifiability"),
            ceiling=metric("ceiling", "identifiability"),
            bits=metric(reference, "bits"),
            ceiling_bits=metric("ceiling", "bits"),
        )

    unseen, unseen_prompt = identified(UNSEEN_REPLICATE), protocol.level(UNSEEN_PROMPT)
    return FactorRow(
        task=result.task.name,
        factor=result.factor.name,
        control=result.task.control,
        protocol_digest=result.protocol_digest,
        levels=len(result.factor.levels),
        replicates=len({variant.replicate for variant in result.variants}),
        reference=reference,
        best=best,
        unseen=unseen,
        seen=identified(SEEN_REPLICATE) or identified(UNSEEN_PROMPT),
        mutual_information=next((of.mutual_information for of in result.likelihood if of.target == "level"), None),
        permutation=study.permutation.test if study and study.permutation else None,
        log10_p=unseen_prompt[reference].log10_p if reference in unseen_prompt else None,
        detectable=_detectable(protocol, held_out=unseen is not None),
        length=study.length if study else None,
        parity=study.parity if study else None,
        current=current,
    )


def best_elsewhere(
    task: str, main: Mapping[str, Mapping[str, Score]], everywhere: Sequence[str], reference: str | None
) -> str | None:
    """Choose the attributor that is called the best of a task, without a look at that task's test texts.

    It is the one with the highest mean identifiability over the *other* tasks of the table (controls left out), among
    those that did every task; the reference attributor where there is no other task. The best on the task itself would
    be chosen by luck as much as by skill, and its figure be too high.
    main: by task, scores on the main split; everywhere: who did every task.
    """
    others = [scores for name, scores in main.items() if name != task]
    if not others or not everywhere:
        return reference
    mean = {name: statistics.fmean(_identifiability(scores[name]) for scores in others) for name in everywhere}
    return min(everywhere, key=lambda name: (-mean[name], name))


def _did_all(main: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """Attributors that did every task, by one and the same code; sorted."""
    found = []
    for name in sorted({name for scores in main.values() for name in scores}):
        own = [scores[name] for scores in main.values() if name in scores and scores[name].status == "ok"]
        if len(own) == len(main) and len({score.attributor.digest for score in own}) == 1:
            found.append(name)
    return found


def _identifiability(score: Score) -> float:
    return score.metrics["identifiability"].value


def _detectable(protocol: Protocol, *, held_out: bool) -> float | None:
    """Smallest identifiability that would have been found; accuracies of several classes do not compare."""
    if (study := protocol.newest.study) is None:
        return None
    if held_out or study.detectable.instance is None:
        return study.detectable.factor
    # The instance's, where there is one: it has the more classes.
    chance = min(score.chance for score in protocol.newest.scores)
    return metrics.identifiability(study.detectable.instance, chance)


def _attributor_rows(
    protocols: Sequence[Protocol], main: Mapping[str, Mapping[str, Score]], everywhere: Sequence[str]
) -> list[AttributorRow]:
    """Rows of all who did a task that counts: those that did every one by mean identifiability, then the others."""
    ranks = _ranks_over({name: [_identifiability(scores[name]) for scores in main.values()] for name in everywhere})
    rows = []
    for name in sorted({name for scores in main.values() for name in scores}):
        own = [scores[name] for scores in main.values() if name in scores]
        values = [_identifiability(score) for score in own if score.status == "ok"]
        spent = [of.seconds.get(f"{target}/{name}", {}) for of in protocols for target in ("level", "instance")]
        failed = [of.newest.task.name for of in protocols if name in of.failed]
        rows.append(
            AttributorRow(
                attributor=name,
                floor=own[-1].attributor.floor,
                digests=tuple(dict.fromkeys(score.attributor.digest for score in own)),
                rank=ranks.get(name),
                identifiability=_mean_over_tasks(values) if values else None,
                tasks=len(values),
                failed=tuple(sorted(failed)),
                fit_seconds=math.fsum(part.get("fit", 0.0) for part in spent),
                predict_seconds=math.fsum(part.get("predict", 0.0) for part in spent),
            )
        )
    return sorted(rows, key=lambda row: (row.attributor not in everywhere, -_mean(row), row.attributor))


def _mean(row: AttributorRow) -> float:
    return row.identifiability.value if row.identifiability else -math.inf


def _ranks_over(values: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Rank attributors by their identifiability on the same tasks: 1 + those that are significantly better.

    Paired over tasks, for tasks differ more than attributors do; by sign flips, for on a few easy tasks attributors lie
    further apart than on all the others, which is far from normal. Empty where the tasks are too few for any difference
    to be significant after Holm: that all are equal would then be no finding.
    """
    n_tasks = min((len(row) for row in values.values()), default=0)
    if len(values) * (len(values) - 1) * 0.5**n_tasks > replication.SIGNIFICANT:
        return {}
    credit = {name: np.array(row, dtype=np.float64) for name, row in values.items()}
    return metrics.ranks(credit, np.arange(n_tasks), seed=0)


def _mean_over_tasks(values: Sequence[float]) -> Interval:
    """Mean with Student's 95% interval, df = tasks - 1; none below three tasks."""
    n, mean = len(values), statistics.fmean(values)
    if n < FEWEST_TASKS:
        return Interval(value=mean, low=None, high=None, method="none", units="tasks", n_units=n)
    half = student_quantile(n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Interval(value=mean, low=mean - half, high=mean + half, method="t", units="tasks", n_units=n)


def student_quantile(df: int) -> float:
    """Quantile of Student's t at 0.975, whose distribution is elementary (Abramowitz and Stegun 26.7.3 and 26.7.4).

    scipy has it too, but takes longer to import than a leaderboard takes altogether.
    """

    def within(angle: float) -> float:
        """P(|T| < sqrt(df) tan(angle))."""
        odd = df % 2
        # For even df 1, 1/2 c^2, (1 3)/(2 4) c^4, ...; for odd df c, 2/3 c^3, (2 4)/(3 5) c^5, ...
        term = total = math.cos(angle) ** odd
        for i in range(2 + odd, df, 2):
            term *= (i - 1) / i * math.cos(angle) ** 2
            total += term
        share = math.sin(angle) * total if df > 1 else 0.0
        return (angle + share) * 2 / math.pi if odd else share

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 0.95 else (low, middle)
    return math.sqrt(df) * math.tan(high)
