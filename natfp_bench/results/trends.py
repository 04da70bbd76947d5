"""Trends: results of one task that differ in settings that were swept, as curves against tokens, parameters and excess.

A trend has a point for each protocol. Its lines go through points that agree in every other swept setting. Intervals
come from leaving out one model at a time (one replicate, where there are three or more), from all points of a line at
once, so they are about other models of these recipes. Nothing is refitted: a model that is left out stays a candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from natfp_bench.base.records import Record, canonical_json, flatten
from natfp_bench.pipeline.result import Result
from natfp_bench.statistics import paired, power_law
from natfp_bench.statistics.intervals import Floats, Interval
from natfp_bench.statistics.phases import Phase, Step, phases_of, steps_of
from natfp_bench.statistics.power_law import LawFit, Points, Toward

from .leaderboard import Leaderboards
from .protocols import Protocol, Setting
from .trend_points import FIGURES, FigureName, Scalar, TrendPoint, point_of, units_of, x_of

AGAINST: Mapping[str, tuple[tuple[str, ...], Toward]] = {
    "tokens": (("budget.tokens", "budget.stop", "budget.segments", "schedule.decay_at_stop"), "settles"),
    "parameters": (("model.", "tokenizer.vocabulary"), "settles"),
    "tokens after the fork": (("fork.at",), "vanishes"),
    "excess": (("budget.", "schedule.decay_at_stop", "model.", "optimizer.lr"), "vanishes"),
}
"""What lines are drawn against: the settings that change along a line, and where a law has its limit."""


COURSES = ("tokens", "tokens after the fork")
"""What single models run through, so that a line may turn."""

SEGMENTS = "budget.segments"
"""Where the data order is cut, so that stops of one run have read what shorter runs have."""

BESIDE = (SEGMENTS, "schedule.decay_at_stop")
"""Settings that a sweep over tokens sets, so that runs can be stops of one run."""

FEWEST_POINTS = 3
"""Fewest results of a trend, and fewest distinct x of a line: two points are a difference."""


class Line(Record):
    """Points of a trend that agree in every swept setting but those that change along the line.

    fixed: these other settings. slope: change when x doubles; p: of no slope; p_adjusted: by Holm over the lines of all
    trends that were made together. law: a power law with a limit, where there are enough points. steps: from point to
    point, where single models run through all of them. phases: where the figure rises, and where it falls, if it does
    both; p-values of steps are corrected by Holm over the steps of all lines.
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
    steps: tuple[Step, ...] = ()
    phases: tuple[Phase, ...] = ()


class Trend(Record):
    """Results of one task that differ in swept settings. units: what intervals leave out one of at a time.

    train_share: of the time of all jobs that the results rest on. tokens_per_second: of training, by one process; None
    where trainings go on from each other, so that tokens would count more than once.
    """

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
    train_share: float | None = None
    tokens_per_second: float | None = None


def trends_of(protocols: Sequence[Protocol]) -> list[Trend]:
    """Find all trends among protocols, and correct the p-values of all their lines together."""
    groups: dict[str, list[Protocol]] = {}
    for protocol in protocols:
        of = protocol.newest
        if of.fixed_texts is None and of.subset is None and {one.source for one in of.variants} != {"texts"}:
            fixed = [of.task.name, of.task.version, of.preset, of.corpus.name, of.seed, protocol.setting.texts]
            # Stops of one run whose learning rate still stands high are no finished runs with fewer tokens.
            fixed.append(_flat(protocol).get("schedule.decay_at_stop"))
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
    units, names = units_of([protocol.newest for protocol in group])
    pairs = [
        (point_of(protocol, {path: flat.get(path) for path in over}, flat, units, names), protocol)
        for protocol, flat in zip(group, flats, strict=True)
    ]
    points = sorted([point for point, _ in pairs], key=lambda one: [str(type(v)) + _key(v) for v in one.swept.values()])
    study = next((of.newest.study for of in group if of.newest.study), None)
    first = group[0]
    setting = first.setting.model_copy(
        update={"overrides": {k: v for k, v in first.setting.overrides.items() if k not in (*over, SEGMENTS)}}
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
        **_speed([protocol.newest for protocol in group]),
    )


def _speed(results: Sequence[Result]) -> dict[str, float | None]:
    """How much of the work was training, and how fast it was."""
    train = sum(result.run.work.get("train", 0.0) for result in results)
    if not train:
        return {}
    models = [of for result in results for of in result.variants]
    # Copies share what they read before the fork, and stops of one training what they read before each of them.
    shared = any(
        of.settings.get("fork", {}).get("at") or of.settings.get("budget", {}).get("stop", 1) < 1 for of in models
    )
    read = sum(of.tokens_trained or 0 for of in models)
    return {
        "train_share": train / sum(sum(result.run.work.values()) for result in results),
        "tokens_per_second": None if shared else read / train,
    }


def _key(value: Scalar) -> str:
    return f"{value:030.9f}" if isinstance(value, int | float) else str(value)


def _flat(protocol: Protocol) -> dict[str, Scalar]:
    """Settings of a protocol that can have been swept: those of its models, and what else was given."""
    result = protocol.newest
    given: dict[str, Any] = {path: value for _, one in protocol.results for path, value in one.overrides.items()}
    own = dict(flatten(result.variants[0].settings))
    return {**given, "replicates": len({of.replicate for of in result.variants}), **own}


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
    steps = steps_of(points) if against in COURSES else ()
    return Line(figure=figure, against=against, fixed=fixed, points=pairs, slope=slope, p=p, law=law, steps=steps)


def _corrected(trends: Sequence[Trend]) -> list[Trend]:
    """Correct the p-values of slopes, of limits and of steps, each for the number of all of them."""
    lines = [line for trend in trends for line in trend.lines]
    slopes = iter(paired.holm([line.p for line in lines if line.p is not None]))
    limits = iter(paired.holm([line.law.p_limit for line in lines if line.law and line.law.p_limit is not None]))
    steps = iter(paired.holm([step.p for line in lines for step in line.steps]))
    found = []
    for trend in trends:
        judged = []
        for line in trend.lines:
            update: dict[str, Any] = {"p_adjusted": next(slopes)} if line.p is not None else {}
            stretches = phases_of(line.steps, [next(steps) for _ in line.steps])
            if len({phase.direction for phase in stretches}) > 1:
                update["phases"] = stretches
            if line.law and line.law.p_limit is not None:
                update["limit_adjusted"] = next(limits)
            judged.append(line.model_copy(update=update))
        found.append(trend.model_copy(update={"lines": tuple(judged)}))
    return found
