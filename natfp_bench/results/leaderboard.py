"""Leaderboards over results, as plain records: factors by identifiability, and attributors by their mean over tasks.

Figures of different settings (presets, corpora, overrides, ...) are never in one table. The boards of each protocol
belong to the leaderboards, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from natfp_bench.base.records import Record, canonical_json
from natfp_bench.pipeline.result import Length, RunInfo, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import paired, per_text, replication
from natfp_bench.statistics.intervals import Interval, student_quantile, t_interval
from natfp_bench.statistics.replication import Equivalence

from .protocols import Board, Protocol, ProtocolId, Setting, make_boards, read_protocols

FactorSection = Literal[
    "held-out replicates", "seen replicates only", "positive control", "negative control", "older protocol"
]
"""Sections of the table of factors, in their order."""

SECTIONS: tuple[FactorSection, ...] = get_args(FactorSection)


class Identified(Record):
    """Identifiability of the level on one split, by the reference attributor, by the best one, and by the ceiling.

    best: see `best`; best_attributors: their names, the most often chosen first. bits: of the reference attributor.
    The ceiling is None if the likelihoods are no bound (`likelihood_reference`).
    """

    split: str
    reference: Interval | None
    best: Interval | None
    best_attributors: tuple[str, ...]
    ceiling: Interval | None
    bits: Interval | None
    ceiling_bits: Interval | None


class FactorRow(Record):
    """How identifiable a factor is, and on what evidence.

    unseen: on replicates that no fit has seen, None if the task holds out none. seen: on unseen prompts of the
    replicates that the fits have seen. permutation: the test of the factor; log10_p: the exact binomial test of the
    reference attributor's accuracy, which is about these models alone, for use if there is no permutation test.
    detectable: smallest identifiability that is detected with a power of 0.8; on unseen replicates, else of the
    instance (of the level, if each level is one instance).
    current: whether this is the newest protocol of its task in the table; older ones are shown but not counted.
    """

    task: str
    factor: str
    control: Literal["negative", "positive"] | None
    protocol_digest: str
    levels: int
    replicates: int
    reference: str | None
    unseen: Identified | None
    seen: Identified | None
    mutual_information: Interval | None
    permutation: replication.PermutationTest | None
    log10_p: float | None
    detectable: float | None
    length: Length | None
    equivalence: Equivalence | None
    current: bool

    @property
    def section(self) -> FactorSection:
        """The section of the table that a row belongs to; only rows of one section compare."""
        if not self.current:
            return "older protocol"
        if self.control:
            return "negative control" if self.control == "negative" else "positive control"
        return "held-out replicates" if self.unseen else "seen replicates only"


class AttributorRow(Record):
    """How well an attributor identifies levels over the tasks of a table, controls excluded.

    identifiability: mean over the tasks that it did, on their main splits (unseen replicates if any are held out), with
    Student's 95% interval over tasks. rank: 1 + attributors that are significantly better (see `_ranks_over`); None
    unless it did every task with the same code (`digests`). failed: tasks on which it failed. Seconds are sums over all
    its fits and predictions, over all tasks and targets, controls included.
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


class Origin(ProtocolId):
    """How one result was made."""

    run: RunInfo


class Leaderboards(Record):
    """All leaderboards of a set of results; faults: a message for each file, or part of one, that could not be used."""

    standings: tuple[Standing, ...]
    boards: tuple[Board, ...]
    origins: tuple[Origin, ...]
    faults: tuple[str, ...]


def leaderboards(paths: Sequence[Path]) -> Leaderboards:
    """Build every leaderboard of result files; a file that cannot be read is skipped and named among the faults."""
    return leaderboards_of(*read_protocols(paths))


def leaderboards_of(protocols: Sequence[Protocol], faults: Sequence[str] = ()) -> Leaderboards:
    """Build every leaderboard of results that have been read; `faults`: messages for those that could not be."""
    found = list(faults)
    made = make_boards(protocols, found)
    origins = [
        Origin(**Origin.fields_of(result), run=result.run) for protocol in protocols for _, result in protocol.results
    ]
    return Leaderboards(
        standings=tuple(_standings(protocols)),
        boards=tuple(made),
        origins=tuple(sorted(origins, key=lambda of: (of.preset, of.corpus, of.task, of.run.started, of.run.id))),
        faults=tuple(found),
    )


def _standings(protocols: Sequence[Protocol]) -> list[Standing]:
    """Both leaderboards of every setting, sorted by preset and corpus; those on a part of the test texts come last."""
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        groups.setdefault(canonical_json(protocol.setting), []).append(protocol)
    made = [_standing(group) for group in groups.values()]

    def place(one: Standing) -> tuple[str, str, bool, str]:
        setting = one.setting
        return setting.preset, setting.corpus, setting.subset is not None, canonical_json(setting)

    return sorted(made, key=place)


def _standing(group: Sequence[Protocol]) -> Standing:
    # A task that has changed since is another protocol: if both counted, the task would count twice.
    newest: dict[str, Protocol] = {}
    for protocol in sorted(group, key=lambda of: of.newest.run.started):
        newest[protocol.newest.task.name] = protocol
    counted = {name: of for name, of in newest.items() if of.newest.task.control is None}
    main = {name: of.main for name, of in counted.items()}
    everywhere = _did_all(main)
    factors = [_factor_row(of, current=of is newest[of.newest.task.name]) for of in group]
    factors.sort(key=lambda row: (SECTIONS.index(row.section), -_height(row), row.task, row.protocol_digest))
    return Standing(
        setting=group[0].setting,
        factors=tuple(factors),
        attributors=tuple(_attributor_rows([*newest.values()], main, everywhere)),
        tasks=len(main),
    )


def _height(row: FactorRow) -> float:
    shown = row.unseen or row.seen
    return shown.reference.value if shown and shown.reference else -math.inf


def _factor_row(protocol: Protocol, *, current: bool) -> FactorRow:
    result = protocol.newest
    study = result.study
    reference = study.reference if study else None

    def identified(split: str) -> Identified | None:
        if not (scores := protocol.level(split)):
            return None

        def metric(who: str | None, name: str) -> Interval | None:
            return scores[who].metrics.get(name) if who in scores else None

        names, highest = best(scores)
        return Identified(
            split=split,
            reference=metric(reference, "identifiability"),
            best=highest,
            best_attributors=names,
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
        unseen=unseen,
        seen=identified(SEEN_REPLICATE) or identified(UNSEEN_PROMPT),
        mutual_information=next((of.mutual_information for of in result.likelihood if of.target == "level"), None),
        permutation=study.permutation.test if study and study.permutation else None,
        log10_p=unseen_prompt[reference].log10_p if reference in unseen_prompt else None,
        detectable=_detectable(protocol, held_out=unseen is not None),
        length=study.length if study else None,
        equivalence=study.equivalence if study else None,
        current=current,
    )


def best(scores: Mapping[str, Score]) -> tuple[tuple[str, ...], Interval | None]:
    """Choose the best attributor of one split by cross-validation, and measure it on the texts that did not choose it.

    For each part of the test texts (a held-out replicate, else a tenth of the prompts), the attributor that is best on
    the other parts is chosen and scored. The highest of several figures would be high by luck as well as by skill.
    Returns the names, the most often chosen first, and the identifiability. A single choice has its own interval, a
    mixed one Student's over the parts. None if there are fewer than two parts.
    """
    texts = {name: of for name, of in scores.items() if of.attributor.access == "text"}
    n_parts = max((len(of.parts) for of in texts.values()), default=0)
    if n_parts < 2:
        return (), None
    asked = sorted(name for name, of in texts.items() if len(of.parts) == n_parts)
    parts = np.array([scores[name].parts for name in asked])
    # Rounded to twelve digits: a tie must not depend on the order of a sum. It goes to the first name.
    elsewhere = np.round(parts.sum(axis=1, keepdims=True) - parts, 12)
    chosen = np.argmax(elsewhere, axis=0)
    counts = np.bincount(chosen, minlength=len(asked))
    names = tuple(asked[one] for one in np.argsort(-counts, kind="stable") if counts[one])
    if len(names) == 1:
        return names, scores[names[0]].metrics["identifiability"]
    reached = parts[chosen, np.arange(parts.shape[1])]
    chance = scores[names[0]].chance
    return names, _mean([per_text.identifiability(accuracy, chance) for accuracy in reached.tolist()], "parts")


def _did_all(main: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """Attributors that did every task with the same code, sorted."""
    found = []
    for name in sorted({name for scores in main.values() for name in scores}):
        own = [scores[name] for scores in main.values() if name in scores and scores[name].status == "ok"]
        if len(own) == len(main) and len({score.attributor.digest for score in own}) == 1:
            found.append(name)
    return found


def _identifiability(score: Score) -> float:
    return score.metrics["identifiability"].value


def _detectable(protocol: Protocol, *, held_out: bool) -> float | None:
    """Smallest identifiability that is detected; accuracies over different numbers of classes do not compare."""
    if (study := protocol.newest.study) is None:
        return None
    if held_out or study.detectable.instance is None:
        return study.detectable.factor
    # The instance target, if there is one, has the most classes.
    chance = min(score.chance for view in protocol.scores.values() for _, score in view.values())
    return per_text.identifiability(study.detectable.instance, chance)


def _attributor_rows(
    protocols: Sequence[Protocol], main: Mapping[str, Mapping[str, Score]], everywhere: Sequence[str]
) -> list[AttributorRow]:
    """Rows of all attributors of the counted tasks: first those that did every task, by mean identifiability."""
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
                identifiability=_mean(values, "tasks") if values else None,
                tasks=len(values),
                failed=tuple(sorted(failed)),
                fit_seconds=math.fsum(part.get("fit", 0.0) for part in spent),
                predict_seconds=math.fsum(part.get("predict", 0.0) for part in spent),
            )
        )
    return sorted(rows, key=lambda row: (row.attributor not in everywhere, -_place(row), row.attributor))


def _place(row: AttributorRow) -> float:
    return row.identifiability.value if row.identifiability else -math.inf


def _ranks_over(values: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Rank attributors by their identifiability on the same tasks: 1 + those that are significantly better.

    Paired over tasks, because tasks differ more than attributors do. By sign flips, because the differences are far
    from normal: on a few easy tasks they are much larger than on the others. Empty if there are too few tasks for any
    difference to be significant after Holm: equal ranks would then mean nothing.
    """
    n_tasks = min((len(row) for row in values.values()), default=0)
    if len(values) * (len(values) - 1) * 0.5**n_tasks > replication.SIGNIFICANT:
        return {}
    credit = {name: np.array(row, dtype=np.float64) for name, row in values.items()}
    return paired.ranks(credit, np.arange(n_tasks), seed=0)


def _mean(values: Sequence[float], units: str) -> Interval:
    """Mean over tasks or parts with Student's 95% interval, without scipy, which is slow to import."""
    return t_interval(values, units=units, quantile=student_quantile)
