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
from natfp_bench.base.rungs import RUNGS, Rung, height
from natfp_bench.pipeline.result import Length, RunInfo, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics import per_text, replication
from natfp_bench.statistics.intervals import Interval, student_quantile, t_interval
from natfp_bench.statistics.replication import Equivalence, Judged, Verdict

from .over_models import TaskAccuracy, mean_over_models, ranks_over_models
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
    replicates that the fits have seen.

    p: of the factor, by permuted labels, None if no replicates are held out; p_floor: the smallest value that it can
    have; p_adjusted: by Holm, over the counted factors of the table that can be found at all. permutations: of the
    test; spread: of the identifiability under permuted labels; strength: how many spreads the observed accuracy is
    above chance. verdict: what follows for the factor. log10_p: of the reference attributor's accuracy, about these
    models alone. detectable: smallest identifiability on unseen replicates that would have been found, after the
    correction, with a power of 0.8; of single models if none are held out.
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
    p: float | None
    p_floor: float | None
    p_adjusted: float | None
    permutations: int | None
    spread: float | None
    strength: float | None
    verdict: Verdict | None
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


class AttributorMean(Record):
    """Mean identifiability of the levels over tasks, with an interval over models, and the rank by it.

    rank: 1 + attributors of its rung that are significantly better (see `over_models`); None unless it did every task
    with the same code, or if the models are too few for any difference to be significant.
    """

    identifiability: Interval
    rank: int | None
    tasks: int


class AttributorRow(Record):
    """How well an attributor identifies levels over the tasks of a table, controls excluded.

    knowledge: its rung of the ladder; attributors rank within one.
    unseen: on the unseen replicates of the tasks that hold some out; seen: on unseen prompts of seen models, in all
    tasks. digests: of the code that did them. failed: tasks on which it failed. Seconds are sums over all its fits and
    predictions, over all tasks and targets, controls included.
    """

    attributor: str
    knowledge: Rung = "texts"
    floor: bool
    digests: tuple[str | None, ...]
    unseen: AttributorMean | None
    seen: AttributorMean | None
    failed: tuple[str, ...]
    fit_seconds: float
    predict_seconds: float


class Standing(Record):
    """Both leaderboards of one setting.

    tasks: how many count for the attributors; held_out: how many of them hold out replicates.
    """

    setting: Setting
    factors: tuple[FactorRow, ...]
    attributors: tuple[AttributorRow, ...]
    tasks: int
    held_out: int


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
    """Both leaderboards of every setting, sorted by preset and corpus; presets as they are come before changed ones."""
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        groups.setdefault(canonical_json(protocol.setting), []).append(protocol)
    made = [_standing(group) for group in groups.values()]

    def place(one: Standing) -> tuple[bool, str, str, bool, str]:
        setting = one.setting
        changed, part = bool(setting.overrides), setting.subset is not None
        return changed, setting.preset, setting.corpus, part, canonical_json(setting)

    return sorted(made, key=place)


def _standing(group: Sequence[Protocol]) -> Standing:
    # A task that has changed since is another protocol: if both counted, the task would count twice.
    newest: dict[str, Protocol] = {}
    for protocol in sorted(group, key=lambda of: of.newest.run.started):
        newest[protocol.newest.task.name] = protocol
    counted = [of for of in newest.values() if of.newest.task.control is None]
    factors = _judged([_factor_row(of, current=of is newest[of.newest.task.name]) for of in group])
    factors.sort(key=lambda row: (SECTIONS.index(row.section), _evidence(row), row.task, row.protocol_digest))
    return Standing(
        setting=group[0].setting,
        factors=tuple(factors),
        attributors=tuple(_attributor_rows([*newest.values()], counted)),
        tasks=len(counted),
        held_out=sum(bool(of.level(UNSEEN_REPLICATE)) for of in counted),
    )


def _evidence(row: FactorRow) -> tuple[float, float]:
    """What factors are sorted by: how strong the evidence is, and how identifiable they are."""
    shown = row.unseen or row.seen
    height = shown.reference.value if shown and shown.reference else -math.inf
    return (1.0, -height) if row.p is None else (row.p, -(row.strength or 0.0))


def _judged(rows: Sequence[FactorRow]) -> list[FactorRow]:
    """Correct the p-values of the counted factors for their number, and say what follows for each."""
    counted = [row for row in rows if row.p is not None and row.section == "held-out replicates"]
    verdicts = replication.judged([row.p or 0.0 for row in counted], [row.p_floor or 0.0 for row in counted])
    judged = {id(row): _verdict(row, found) for row, found in zip(counted, verdicts, strict=True)}
    return [judged.get(id(row), row) for row in rows]


def _verdict(row: FactorRow, found: Judged) -> FactorRow:
    """A row with what follows from its test among the others."""
    detectable = None
    if found.verdict == "not found" and row.spread is not None and row.permutations is not None:
        design = (row.spread, row.levels, row.replicates, row.permutations)
        detectable = replication.detectable_factor(*design, comparisons=found.tests)
    return row.model_copy(update={"p_adjusted": found.p, "verdict": found.verdict, "detectable": detectable})


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

    permuted = study.permutation if study else None
    chance = next((score.chance for score in protocol.level(UNSEEN_REPLICATE).values()), 0.0)
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
        p=permuted.test.p if permuted else None,
        p_floor=permuted.test.smallest if permuted else None,
        p_adjusted=None,
        permutations=permuted.test.permutations if permuted else None,
        spread=permuted.spread / (1 - chance) if permuted else None,
        strength=(permuted.observed - chance) / permuted.spread if permuted and permuted.spread > 0 else None,
        verdict=None,
        log10_p=unseen_prompt[reference].log10_p if reference in unseen_prompt else None,
        detectable=_detectable(protocol, held_out=unseen is not None),
        length=study.length if study else None,
        equivalence=result.equivalence,
        current=current,
    )


def lowest_rung(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Scores of the attributors of texts that know least, by name: labelled texts alone, if any knows no more."""
    texts = {name: of for name, of in scores.items() if of.attributor.access == "text"}
    least = min((height(of.attributor.knowledge) for of in texts.values()), default=0)
    return {name: of for name, of in texts.items() if height(of.attributor.knowledge) == least}


class RungScore(Record):
    """The best attributor of a rung on one split, as `best` chooses it; names: the most often chosen first."""

    rung: Rung
    names: tuple[str, ...]
    identifiability: Interval


def by_rung(scores: Mapping[str, Score]) -> list[RungScore]:
    """The best attributor of each rung, the lowest rung first, and the ceiling as the highest one."""
    found = []
    for rung in RUNGS:
        own = {name: of for name, of in scores.items() if of.attributor.knowledge == rung and of.metrics}
        names, reached = best(own)
        if rung == "weights" and "ceiling" in own:
            names, reached = ("ceiling",), own["ceiling"].metrics["identifiability"]
        if reached is None and own and rung != "weights":
            names = (max(own, key=lambda name: (own[name].metrics["identifiability"].value, name)),)
            reached = own[names[0]].metrics["identifiability"]
        if reached is not None:
            found.append(RungScore(rung=rung, names=names, identifiability=reached))
    return found


def best(scores: Mapping[str, Score]) -> tuple[tuple[str, ...], Interval | None]:
    """Choose the best attributor of one split by cross-validation, and measure it on the texts that did not choose it.

    Only those of the lowest rung that has any take part (`lowest_rung`): one that knows more is no better method.
    For each part of the test texts (a held-out replicate, else a tenth of the prompts), the attributor that is best on
    the other parts is chosen and scored. The highest of several figures would be high by luck as well as by skill.
    Returns the names, the most often chosen first, and the identifiability. A single choice has its own interval, a
    mixed one Student's over the parts. None if there are fewer than two parts.
    """
    texts = lowest_rung(scores)
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
    units = "replicates" if scores[names[0]].split == UNSEEN_REPLICATE else "parts"
    return names, _mean([per_text.identifiability(accuracy, chance) for accuracy in reached.tolist()], units)


def _detectable(protocol: Protocol, *, held_out: bool) -> float | None:
    """Smallest identifiability that is detected; accuracies over different numbers of classes do not compare."""
    if (study := protocol.newest.study) is None:
        return None
    if held_out or study.detectable.instance is None:
        return study.detectable.factor
    # The instance target, if there is one, has the most classes.
    chance = min(score.chance for view in protocol.scores.values() for _, score in view.values())
    return per_text.identifiability(study.detectable.instance, chance)


def _attributor_rows(protocols: Sequence[Protocol], counted: Sequence[Protocol]) -> list[AttributorRow]:
    """Rows of all attributors of the counted tasks, rung by rung: the best first, last those that lack a task."""
    unseen = _means({of.newest.task.name: (of, of.level(UNSEEN_REPLICATE)) for of in counted})
    seen = _means({of.newest.task.name: (of, of.level(SEEN_REPLICATE) or of.level(UNSEEN_PROMPT)) for of in counted})
    rows = []
    for name in sorted({name for of in counted for name in of.main}):
        own = [of.main[name] for of in counted if name in of.main]
        spent = [of.seconds.get(f"{target}/{name}", {}) for of in protocols for target in ("level", "instance")]
        failed = [of.newest.task.name for of in protocols if name in of.failed]
        rows.append(
            AttributorRow(
                attributor=name,
                knowledge=own[-1].attributor.knowledge,
                floor=own[-1].attributor.floor,
                digests=tuple(dict.fromkeys(score.attributor.digest for score in own)),
                unseen=unseen.get(name),
                seen=seen.get(name),
                failed=tuple(sorted(failed)),
                fit_seconds=math.fsum(part.get("fit", 0.0) for part in spent),
                predict_seconds=math.fsum(part.get("predict", 0.0) for part in spent),
            )
        )
    return sorted(rows, key=_place)


def _place(row: AttributorRow) -> tuple[int, bool, float, str]:
    main = row.unseen or row.seen
    whole = main is not None and main.rank is not None
    return height(row.knowledge), not whole, -main.identifiability.value if main else math.inf, row.attributor


def _means(tasks: Mapping[str, tuple[Protocol, Mapping[str, Score]]]) -> dict[str, AttributorMean]:
    """Mean of each attributor over the tasks that have scores, and the ranks of those that did all with one code."""
    given: dict[str, list[TaskAccuracy]] = {}
    digests: dict[str, set[str | None]] = {}
    rungs: dict[str, Rung] = {}
    for protocol, scores in tasks.values():
        models = {variant.name: variant.key for variant in protocol.newest.variants}
        for name, score in scores.items():
            if score.attributor.access != "text" or score.status != "ok":
                continue
            variants = sorted(score.by_variant)
            accuracy = [score.by_variant[variant] for variant in variants]
            levels = [variant.rpartition("/r")[0] for variant in variants]
            task = TaskAccuracy(score.chance, accuracy, [models[variant] for variant in variants], levels)
            given.setdefault(name, []).append(task)
            digests.setdefault(name, set()).add(score.attributor.digest)
            rungs[name] = score.attributor.knowledge
    n_tasks = sum(bool(scores) for _, scores in tasks.values())
    everywhere = {name: own for name, own in given.items() if len(own) == n_tasks and len(digests[name]) == 1}
    ranks: dict[str, int] = {}
    for rung in RUNGS:
        ranks |= ranks_over_models({name: own for name, own in everywhere.items() if rungs[name] == rung})
    return {
        name: AttributorMean(identifiability=mean_over_models(own), rank=ranks.get(name), tasks=len(own))
        for name, own in given.items()
    }


def _mean(values: Sequence[float], units: str) -> Interval:
    """Mean over parts with Student's 95% interval, without scipy, which is slow to import."""
    return t_interval(values, units=units, quantile=student_quantile, cross_fitted=units == "replicates")
