"""Trends: results of one task that differ in settings that were swept, as curves against tokens, parameters and excess.

A trend has a point for each protocol. Its lines go through points that agree in every other swept setting. Intervals
come from leaving out one model at a time (one replicate, where there are three or more), from all points of a line at
once, so they are about other models of these recipes. Nothing is refitted: a model that is left out stays a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record, canonical_json, flatten
from natfp_bench.pipeline.result import Result, Score, VariantResult
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT
from natfp_bench.plan.task_files import NO_TRACE
from natfp_bench.statistics import paired, per_text, power_law
from natfp_bench.statistics.intervals import Floats, Interval, jackknife
from natfp_bench.statistics.phases import Phase, phases_of
from natfp_bench.statistics.power_law import LawFit, Points, Toward

from .leaderboard import Leaderboards, best
from .predictions import read_predictions
from .protocols import Protocol, Setting

Scalar = str | int | float | bool | None

FigureName = Literal["mean_kl", "ceiling_bits", "identifiability"]
"""Figures that have curves."""

FIGURES: Mapping[FigureName, str] = {
    "mean_kl": "mean KL in bits per token",
    "ceiling_bits": "ceiling in bits per text",
    "identifiability": "identifiability by the reference attributor",
}
"""What each is called."""

AGAINST: Mapping[str, tuple[tuple[str, ...], Toward]] = {
    "tokens": (("budget.tokens", "budget.stop", "budget.segments", "schedule.decay_at_stop"), "settles"),
    "parameters": (("model.", "tokenizer.vocabulary"), "settles"),
    "tokens after the fork": (("fork.at",), "vanishes"),
    "excess": (("budget.", "schedule.decay_at_stop", "model.", "optimizer.lr"), "vanishes"),
}
"""What lines are drawn against: the settings that change along a line, and where a law has its limit."""


COURSES = ("tokens", "tokens after the fork")
"""What single models run through, so that a line may turn."""

BESIDE = ("budget.segments", "schedule.decay_at_stop")
"""Settings that a sweep over tokens sets, so that runs can be stops of one run."""

FEWEST_POINTS = 3
"""Fewest results of a trend, and fewest distinct x of a line: two points are a difference."""


class Measured(Record):
    """A figure of one point; left_out: the figure without each unit, in the order of the trend's units."""

    estimate: Interval
    left_out: tuple[float, ...] = ()


class TrendPoint(Record):
    """One protocol of a trend.

    swept: its values of the swept settings. heldout, excess: bits per byte, the mean over models. best: of all
    attributors, chosen on other texts. to_95: tokens of text after which the ceiling names the level with 0.95. gap:
    the replicate gap of the reference. p, p_floor, strength: the test of the factor, its smallest possible value, and
    how many spreads of permuted labels the accuracy is above chance.
    """

    protocol_digest: str
    swept: dict[str, Scalar]
    x: dict[str, float]
    models: int
    figures: dict[FigureName, Measured]
    heldout: float | None
    excess: Measured | None
    best: Interval | None
    best_attributors: tuple[str, ...]
    to_95: float | None
    gap: Interval | None
    p: float | None
    p_floor: float | None
    p_adjusted: float | None = None
    strength: float | None = None


class Line(Record):
    """Points of a trend that agree in every swept setting but those that change along the line.

    fixed: these other settings. slope: change when x doubles; p: of no slope; p_adjusted: by Holm over the lines of all
    trends that were made together. law: a power law with a limit, where there are enough points. phases: where the
    figure rises, and where it falls, if it does both.
    """

    figure: FigureName
    against: str
    fixed: dict[str, Scalar]
    points: tuple[tuple[float, float], ...]
    slope: Interval
    p: float | None
    p_adjusted: float | None = None
    law: LawFit | None = None
    limit_adjusted: float | None = None
    phases: tuple[Phase, ...] = ()


class Trend(Record):
    """Results of one task that differ in swept settings. units: what intervals leave out one of at a time."""

    task: str
    factor: str
    setting: Setting
    over: tuple[str, ...]
    reference: str | None
    kl_unit: str
    units: str
    n_units: int
    points: tuple[TrendPoint, ...]
    lines: tuple[Line, ...]


def trends_of(protocols: Sequence[Protocol]) -> list[Trend]:
    """Find all trends among protocols, and correct the p-values of all their lines together."""
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        of = protocol.newest
        if of.fixed_texts is None and of.subset is None and {one.source for one in of.variants} != {"texts"}:
            fixed = [of.task.name, of.task.version, of.preset, of.corpus.name, of.seed, protocol.setting.texts]
            groups.setdefault(canonical_json(fixed), []).append(protocol)
    found = [trend for group in groups.values() if (trend := _trend(group))]
    return _corrected(found)


def without_points(found: Leaderboards, trends: Sequence[Trend]) -> Leaderboards:
    """Leave out the tables of single points of trends: a trend shows them together."""
    points = {point.protocol_digest for trend in trends for point in trend.points}
    swept = {path for trend in trends for path in trend.over}
    kept = [
        one
        for one in found.standings
        if not (swept & one.setting.overrides.keys() and {row.protocol_digest for row in one.factors} <= points)
    ]
    return found.model_copy(update={"standings": tuple(kept)})


def _trend(group: Sequence[Protocol]) -> Trend | None:
    """The trend of protocols of one task, preset, corpus and seed; None if nothing was swept."""
    flats = [_flat(protocol) for protocol in group]
    asked = {path for protocol in group for _, result in protocol.results for path in result.overrides}
    fields = group[0].newest.factor.fields
    over = sorted(path for path in asked - {"corpus.name"} if len({repr(flat.get(path)) for flat in flats}) > 1)
    # What a sweep over tokens sets beside them says nothing of its own.
    over = [path for path in over if path not in (*fields, *(BESIDE if len({*over} - {*BESIDE}) else ()))]
    if (
        not over
        or len(group) < FEWEST_POINTS
        or not any(protocol.newest.mean_kl or protocol.main for protocol in group)
    ):
        return None
    units, names = _units([protocol.newest for protocol in group])
    pairs = [
        (_point(protocol, {path: flat.get(path) for path in over}, flat, units, names), protocol)
        for protocol, flat in zip(group, flats, strict=True)
    ]
    points = sorted([point for point, _ in pairs], key=lambda one: [str(type(v)) + _key(v) for v in one.swept.values()])
    study = next((of.newest.study for of in group if of.newest.study), None)
    first = group[0]
    setting = first.setting.model_copy(
        update={"overrides": {k: v for k, v in first.setting.overrides.items() if k not in over}}
    )
    kl = next((of.newest.mean_kl for of in group if of.newest.mean_kl), None)
    return Trend(
        task=first.newest.task.name,
        factor=first.newest.factor.name,
        setting=setting,
        over=tuple(over),
        reference=study.reference if study else None,
        kl_unit=kl.unit if kl else "token",
        units=units,
        n_units=len(names),
        points=tuple(_judged(points)),
        lines=tuple(_lines(points, over, units)),
    )


def _key(value: Scalar) -> str:
    return f"{value:030.9f}" if isinstance(value, int | float) else str(value)


def _flat(protocol: Protocol) -> dict[str, Scalar]:
    """Settings of a protocol that can have been swept: those of its models, and what else was given."""
    result = protocol.newest
    given: dict[str, Any] = {path: value for _, one in protocol.results for path, value in one.overrides.items()}
    own = dict(flatten(result.variants[0].settings))
    return {**given, "replicates": len({of.replicate for of in result.variants}), **own}


def _units(results: Sequence[Result]) -> tuple[str, tuple[str, ...]]:
    """What can be left out of every point: replicates if there are three or more, else models that could be others.

    Levels of a factor cannot be left out, because they are no sample of anything; those of seeds are.
    """
    replicates = [{str(of.replicate) for of in _kept(result)} for result in results]
    shared = set.intersection(*replicates)
    if len(shared) >= 3:
        return "replicates", tuple(sorted(shared))
    # Cells of a crossing share seeds, so that no single one could have been another.
    crossed = any(result.study and result.study.crossed for result in results)
    seeds = not crossed and all(path.startswith(NO_TRACE) for path in results[0].factor.fields)
    levels = [{of.level for of in _kept(result)} for result in results]
    alike = set.intersection(*levels)
    if seeds and all(len(one) == 1 for one in replicates) and all(one == alike for one in levels) and len(alike) >= 3:
        return "models", tuple(sorted(alike))
    return "models", ()


def _kept(result: Result) -> list[VariantResult]:
    """The variants that were compared: none that diverged, and none that was left out beside one."""
    compared = result.mean_kl.variants if result.mean_kl else [of.name for of in result.variants]
    return [of for of in result.variants if of.status == "ok" and of.name in compared]


@dataclass(frozen=True)
class _Without:
    """Leaves units out of a figure of variants: name -> level, replicate."""

    units: str
    names: Sequence[str]
    places: Mapping[str, tuple[str, str]]

    def unit(self, variant: str) -> str:
        """The unit of a variant."""
        level, replicate = self.places[variant]
        return replicate if self.units == "replicates" else level

    def measured(self, of: Callable[[set[str]], float], estimate: Interval | None = None) -> Measured:
        """A figure of a set of variants, with what it is without each unit."""
        everything = set(self.places)
        left_out = [of({one for one in everything if self.unit(one) != name}) for name in self.names]
        found = estimate or jackknife(of(everything), left_out, self.units)
        return Measured(estimate=found, left_out=tuple(left_out))


def _point(
    protocol: Protocol, swept: Mapping[str, Scalar], flat: Mapping[str, Any], units: str, names: Sequence[str]
) -> TrendPoint:
    result, study = protocol.newest, protocol.newest.study
    sound = _kept(result)
    without = _Without(units, names, {of.name: (of.level, str(of.replicate)) for of in sound})
    excess = {of.name: of.excess_bits_per_byte.value for of in sound if of.excess_bits_per_byte}
    heldout = [of.heldout_bits_per_byte.value for of in sound if of.heldout_bits_per_byte]
    permuted = study.permutation if study else None
    chosen, highest = best(protocol.main)
    gap = next((one.gap for one in study.gaps if one.attributor == study.reference), None) if study else None
    chance = next((one.chance for one in protocol.main.values()), 0.0)
    tokens = float(np.mean([of.tokens_trained or 0 for of in sound])) if sound else 0.0
    x = {"tokens": tokens, "parameters": float(np.mean([of.parameters or 0 for of in sound])) if sound else 0.0}
    if at := flat.get("fork.at"):
        x["tokens after the fork"] = tokens * (1 - at)
    return TrendPoint(
        protocol_digest=result.protocol_digest,
        swept=dict(swept),
        x={name: value for name, value in x.items() if value > 0},
        models=len(sound),
        figures=_figures(protocol, without),
        heldout=float(np.mean(heldout)) if heldout else None,
        excess=without.measured(lambda kept: float(np.mean([excess[one] for one in kept])))
        if excess and len(excess) == len(sound)
        else None,
        best=highest,
        best_attributors=chosen,
        to_95=study.length.ceiling_to_95 if study and study.length else None,
        gap=gap,
        p=permuted.test.p if permuted else None,
        p_floor=permuted.test.smallest if permuted else None,
        strength=(permuted.observed - chance) / permuted.spread if permuted and permuted.spread > 0 else None,
    )


def _figures(protocol: Protocol, without: _Without) -> dict[FigureName, Measured]:
    result, found = protocol.newest, dict[FigureName, Measured]()
    if result.mean_kl:
        place = {name: i for i, name in enumerate(result.mean_kl.variants)}
        pairs = {
            (a, b): result.mean_kl.divergence[place[a]][place[b]].value
            for a in place
            for b in place
            if a != b
            and a in without.places
            and b in without.places
            # Within a replicate, where nothing but the factor differs.
            and without.places[a][1] == without.places[b][1]
        }
        if pairs and all(value is not None for value in pairs.values()):
            found["mean_kl"] = without.measured(
                lambda kept: float(np.mean([v for (a, b), v in pairs.items() if {a, b} <= kept]))
            )
    ceiling = protocol.scores.get(("level", SEEN_REPLICATE), {}) or protocol.scores.get(("level", UNSEEN_PROMPT), {})
    if "ceiling" in ceiling:
        path, score = ceiling["ceiling"]
        if bits_of_all := score.metrics.get("bits"):
            found["ceiling_bits"] = Measured(estimate=bits_of_all)
        by = score.bits_by_variant or _bits_by_variant(path, score)
        if without.places.keys() <= by.keys():
            found["ceiling_bits"] = without.measured(lambda kept: float(np.mean([by[one] for one in kept])))
    reference = protocol.main.get(result.study.reference) if result.study else None
    if reference and reference.status == "ok" and without.places.keys() <= reference.by_variant.keys():
        accuracy, chance = reference.by_variant, reference.chance
        found["identifiability"] = without.measured(
            lambda kept: per_text.identifiability(float(np.mean([accuracy[one] for one in kept])), chance),
            reference.metrics.get("identifiability"),
        )
    return found


def _bits_by_variant(path: Path, score: Score) -> dict[str, float]:
    """Bits of a result that does not have them, from its answers; empty where these are not there."""
    with suppress(UserError):
        answers = read_predictions(path).of(score)
        bits = per_text.bits(answers.proba, answers.truth)
        names = np.array(answers.rows["variant"].to_pylist())
        return {name: float(bits[names == name].mean()) for name in np.unique(names).tolist()}
    return {}


def _judged(points: Sequence[TrendPoint]) -> list[TrendPoint]:
    """Correct the p-values of the factor for the number of points."""
    tested = [point.p for point in points if point.p is not None]
    adjusted = iter(paired.holm(tested))
    return [one if one.p is None else one.model_copy(update={"p_adjusted": next(adjusted)}) for one in points]


def _lines(points: Sequence[TrendPoint], over: Sequence[str], units: str) -> Iterable[Line]:
    for against, (along, toward) in _against(over).items():
        if not any(path.startswith(along) for path in over):
            continue
        rest = [path for path in over if not path.startswith(along)]
        groups: dict[str, list[TrendPoint]] = {}
        for point in points:
            groups.setdefault(canonical_json([point.swept[path] for path in rest]), []).append(point)
        for group in groups.values():
            for figure in FIGURES:
                own = [point for point in group if figure in point.figures and x_of(point, against) is not None]
                if line := _line(
                    own, figure, against, {path: own[0].swept[path] for path in rest} if own else {}, toward, units
                ):
                    yield line


def _against(over: Sequence[str]) -> dict[str, tuple[tuple[str, ...], Toward | None]]:
    """What lines are drawn against: also any other swept setting that is a number."""
    known = {path for along, _ in AGAINST.values() for path in over if path.startswith(along)}
    return {**AGAINST, **{path: ((path,), None) for path in over if path not in known}}


def x_of(point: TrendPoint, against: str) -> Measured | None:
    """Where a point lies along a line; None if that is no positive number."""
    if against == "excess":
        return point.excess if point.excess and point.excess.estimate.value > 0 else None
    value = point.x.get(against, point.swept.get(against))
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    exact = Interval(value=float(value), low=None, high=None, method="none", units="models", n_units=1)
    return Measured(estimate=exact)


def _line(
    own: Sequence[TrendPoint],
    figure: FigureName,
    against: str,
    fixed: dict[str, Scalar],
    toward: Toward | None,
    units: str,
) -> Line | None:
    """A line through some points, in the order of x; None if it has no length."""
    where = [(at, point.figures[figure]) for point in own if (at := x_of(point, against))]
    where.sort(key=lambda pair: pair[0].estimate.value)
    x, y = (np.array([pair[i].estimate.value for pair in where]) for i in (0, 1))
    if len(np.unique(x)) < FEWEST_POINTS or not np.isfinite(np.concatenate([x, y])).all():
        return None
    number = min(len(measured.left_out) for _, measured in where)
    left_out: list[tuple[Floats, Floats]] = []
    for unit in range(number):
        without = np.array([one.left_out[unit] if one.left_out else one.estimate.value for one, _ in where])
        left_out.append((without, np.array([measured.left_out[unit] for _, measured in where])))
    if any((without <= 0).any() for without, _ in left_out):
        left_out = []
    points = Points(x, y, left_out, units)
    slope, p = power_law.slope_of(points)
    law = power_law.law_of(points, toward) if toward and len(np.unique(x)) >= power_law.FEWEST else None
    pairs = tuple(zip(x.tolist(), y.tolist(), strict=True))
    # Along one course of training alone: neighbours on another line may be models of different sizes.
    found = phases_of(points) if against in COURSES else ()
    turns = found if len({phase.direction for phase in found}) > 1 else ()
    return Line(figure=figure, against=against, fixed=fixed, points=pairs, slope=slope, p=p, law=law, phases=turns)


def _corrected(trends: Sequence[Trend]) -> list[Trend]:
    """Correct the p-values of slopes, and those of limits, for the number of all lines."""
    lines = [line for trend in trends for line in trend.lines]
    slopes = iter(paired.holm([line.p for line in lines if line.p is not None]))
    limits = iter(paired.holm([line.law.p_limit for line in lines if line.law and line.law.p_limit is not None]))
    found = []
    for trend in trends:
        judged = []
        for line in trend.lines:
            update = {"p_adjusted": next(slopes)} if line.p is not None else {}
            if line.law and line.law.p_limit is not None:
                update["limit_adjusted"] = next(limits)
            judged.append(line.model_copy(update=update))
        found.append(trend.model_copy(update={"lines": tuple(judged)}))
    return found
