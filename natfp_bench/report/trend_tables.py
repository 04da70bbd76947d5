"""Trends as tables and sentences: what changes with tokens, parameters and the excess over the true entropy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from natfp_bench.results.trend_points import FIGURES, TrendPoint
from natfp_bench.results.trends import Line, Trend
from natfp_bench.statistics.intervals import SHARP
from natfp_bench.statistics.power_law import LawFit
from natfp_bench.statistics.replication import SIGNIFICANT

from .leaderboard_tables import setting_title
from .table import (
    Cell,
    ReportTable,
    estimate_cell,
    interval,
    number,
    number_cell,
    p_words,
    plain_p,
    spread,
    test_verdict,
    value,
)

ABOUT = (
    "A line goes through results that agree in every swept setting but those that change along it. Intervals are at "
    "95% and leave out one model at a time (one replicate where there are three or more), from all points of a line at "
    "once: they are about other models of these recipes, on this corpus and of these sizes. A p-value is corrected by "
    "Holm for all lines of this page. Without three such units there is neither. A power law has three parameters; its "
    "limit is what is left with unlimited tokens or parameters, or when the excess over the true entropy is gone. It "
    "is extrapolated only where a fit without the furthest point predicted that point within the interval of the "
    f"difference, and this interval is no wider than {SHARP:.0%} of what was seen on each side."
)


def trend_tables(trend: Trend) -> list[ReportTable]:
    """Make the tables of a trend: its points, and its lines if it has any."""
    return [_points_table(trend), *([_lines_table(trend)] if trend.lines else [])]


def trend_title(trend: Trend) -> str:
    """Name a trend."""
    return f"{trend.task}: {trend.factor} ({setting_title(trend.setting)})"


def _points_table(trend: Trend) -> ReportTable:
    factor = any(point.p is not None for point in trend.points)
    tests = ("gap", "p", "least\np", "corrected\np", "spreads") if factor else ()
    numbers = (
        "tokens",
        "parameters",
        "excess",
        "mean KL",
        "ceiling\nbits",
        "95% at\n(tokens)",
        "identifiability",
        "best",
    )
    rows = [_point_cells(point, trend, factor=factor) for point in trend.points]
    about = (
        "One row for each result. excess: held-out bits per byte over the true entropy of the corpus, where that is "
        f"known (mean over models). mean KL: bits per {trend.kl_unit} by which two models differ, the mean over pairs. "
        "ceiling bits: what the models' own likelihoods say about the level, per text. 95% at: the length of a text at "
        "which the ceiling names the level with 0.95. identifiability: of the reference attributor "
        f"({trend.reference or 'none'}), then of the best one, chosen on other texts."
    )
    if factor:
        about += (
            " gap: accuracy on seen minus unseen replicates. p is that of the factor; corrected p is by Holm over the "
            "rows. spreads: how many spreads under permuted labels the accuracy is above chance."
        )
    right = (*trend.over[1:], *numbers, *tests)
    return ReportTable(f"points of {trend.task}", (*trend.over, *numbers, *tests), rows, right=right, caption=about)


def _point_cells(point: TrendPoint, trend: Trend, *, factor: bool) -> list[Cell]:
    swept = [
        _setting_cell(point.swept[path], point.protocol_digest if i == 0 else "") for i, path in enumerate(trend.over)
    ]
    measured = {name: point.figures[name].estimate if name in point.figures else None for name in FIGURES}
    cells = [
        *swept,
        number_cell(point.x.get("tokens"), ",.0f"),
        number_cell(point.x.get("parameters"), ",.0f"),
        number_cell(point.excess.estimate.value if point.excess else None, ".3f"),
        estimate_cell(measured["mean_kl"], interval(measured["mean_kl"])),
        estimate_cell(measured["ceiling_bits"], interval(measured["ceiling_bits"], 2)),
        number_cell(point.to_95, ",.0f"),
        estimate_cell(measured["identifiability"], interval(measured["identifiability"], 2)),
        estimate_cell(point.best, value(point.best, 2)),
    ]
    if factor:
        cells += [
            estimate_cell(point.gap, spread(point.gap)),
            Cell(plain_p(point.p), sort=point.p),
            Cell(plain_p(point.p_floor), sort=point.p_floor),
            Cell(plain_p(point.p_adjusted), sort=point.p_adjusted),
            number_cell(point.strength, ".1f"),
        ]
    return cells


def _setting_cell(found: Any, about: str) -> Cell:
    shown = f"{found:,}" if isinstance(found, int) and not isinstance(found, bool) else str(found)
    return Cell(shown, about=about, sort=float(found) if isinstance(found, int | float) else None)


def _lines_table(trend: Trend) -> ReportTable:
    columns = ("figure", "against", "where", "points", "when doubled", "corrected\np", "exponent", "limit")
    rows = [_line_cells(line) for line in trend.lines]
    tested = ("held-out point", "extrapolated")
    about = (
        "when doubled: change of the figure when tokens, parameters or excess double. exponent and limit: of a power "
        "law; a limit is stated only where the exponent is within the range of the fit. held-out point: what a fit "
        "without the furthest point predicted, what was seen, and whether the prediction held. extrapolated: not "
        "measured, and only where the prediction held."
    )
    right = ("points", "when doubled", "corrected\np", "exponent", "limit")
    return ReportTable(
        f"lines of {trend.task}",
        (*columns, *tested),
        rows,
        right=right,
        loose=("figure", "where", *tested),
        caption=about,
    )


def _line_cells(line: Line) -> list[Cell]:
    law = line.law
    limit = interval(law.limit, 3) if law and law.settled else "not known" if law else ""
    return [
        Cell(FIGURES[line.figure]),
        Cell(line.against),
        Cell(_where(line.fixed)),
        Cell(str(len(line.points)), sort=len(line.points)),
        estimate_cell(line.slope, interval(line.slope)),
        Cell(plain_p(line.p_adjusted), sort=line.p_adjusted),
        estimate_cell(law.exponent if law else None, interval(law.exponent, 2) if law else ""),
        estimate_cell(law.limit if law and law.settled else None, limit),
        Cell(_held_out(law) if law else ""),
        Cell(_further(line.against, law) if law else ""),
    ]


def _where(fixed: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={found}" for path, found in fixed.items())


def _held_out(law: LawFit) -> str:
    if (tested := law.prediction) is None:
        return "too few points"
    if tested.predicted.low is None:
        return "no interval"
    verdict = test_verdict(agrees=tested.agrees, sound=tested.sound)
    return f"predicted {interval(tested.predicted)}, seen {number(tested.observed)}: {verdict}"


def _further(against: str, law: LawFit) -> str:
    if law.further is None:
        return ""
    at, found = law.further
    return f"{interval(found)} at {amount(at)} {against}"


WORDS = {"excess": "bits per byte above the true entropy"}
"""What sentences call a quantity whose name says too little."""

DOUBLED = {
    "tokens": "the tokens double",
    "parameters": "the parameters double",
    "tokens after the fork": "the tokens after the fork double",
    "excess": "the excess over the true entropy doubles",
}


def amount(number_: float) -> str:
    """Print a number of tokens or parameters, or a small quantity."""
    return f"{number_:,.0f}" if number_ >= 100 else f"{number_:.3g}"


def answers(trend: Trend) -> Iterator[str]:
    """Say in short what each figure does when a quantity doubles: by how much it changes, and on which lines."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in trend.lines:
        groups.setdefault((line.against, FIGURES[line.figure]), []).append(line)
    for (against, figure), lines in groups.items():
        for line in (one for one in lines if one.phases):
            yield f"With more {against}, the {figure} {_stretches(line)}{_share([line], lines)}."
        straight = [one for one in lines if not one.phases]
        if not straight:
            continue
        told = [part for sign in (1, -1) if (part := _course([one for one in straight if _shown(one) == sign], lines))]
        silent = [one for one in straight if not _shown(one)]
        if silent:
            untested = all(one.p_adjusted is None for one in silent)
            why = "was measured with too few models for an interval" if untested else "is not shown to change"
            told.append(f"{why}{_share(silent, lines)}")
        yield f"When {DOUBLED.get(against, f'{against} doubles')}, the {figure} {'; '.join(told)}."


def _shown(line: Line) -> int:
    """1 for a line that rises, -1 for one that falls, 0 where neither is shown."""
    if line.p_adjusted is None or line.p_adjusted > SIGNIFICANT:
        return 0
    return 1 if line.slope.value > 0 else -1


def _course(own: Sequence[Line], lines: Sequence[Line]) -> str:
    """What lines that go one way do, as part of a sentence; empty for none."""
    if not own:
        return ""
    changes = sorted(abs(line.slope.value) for line in own)
    by = number(changes[0]) if len(own) == 1 else f"{number(changes[0])} to {number(changes[-1])}"
    most = max(line.p_adjusted or 0.0 for line in own)
    least = f"corrected {p_words(most, at_most=len(own) > 1)}"
    return f"{'rises' if own[0].slope.value > 0 else 'falls'} by {by}{_share(own, lines)} ({least})"


def _share(own: Sequence[Line], lines: Sequence[Line]) -> str:
    """Say on which of several lines, by the one setting that they differ in; or on how many."""
    if len(lines) == 1:
        return ""
    settings = {tuple(line.fixed) for line in lines}
    if len(own) == len(lines) or settings != {tuple(lines[0].fixed)} or len(lines[0].fixed) != 1:
        return f" on {len(own)} of {len(lines)} lines"
    ((path, _),) = lines[0].fixed.items()
    *before, last = [str(line.fixed[path]) for line in own]
    return f" where {path} is {', '.join(before)}{' or ' * bool(before)}{last}"


def sentences(trend: Trend) -> Iterator[str]:
    """Say what each line shows, with its interval and its corrected p; lines without units have none, and say so."""
    for line in trend.lines:
        first, last = line.points[0], line.points[-1]
        where = f" ({_where(line.fixed)})" if line.fixed else ""
        span = f"From {amount(first[0])} to {amount(last[0])} {WORDS.get(line.against, line.against)}{where}"
        course = f"goes from {number(first[1])} to {number(last[1])}"
        said = f"{span}, the {FIGURES[line.figure]} {course}"
        yield f"{said}: {_change(line)}.{_turns(line)}{_limit(line)}"
    if any(point.p_adjusted is not None for point in trend.points):
        yield _evidence(trend)


def _change(line: Line) -> str:
    each = interval(line.slope)
    estimate, _, within = each.partition(" ")
    if line.p_adjusted is None:
        return f"{estimate} for each doubling, without an interval, because there are too few models to leave out"
    verdict = "shown" if line.p_adjusted <= SIGNIFICANT else "not shown: it may be chance"
    return f"{estimate} for each doubling (95% {within}; corrected {p_words(line.p_adjusted)}; {verdict})"


def _turns(line: Line) -> str:
    """Say where a line that turns rises, and where it falls."""
    if not line.phases:
        return ""
    return f" It turns: it {_stretches(line)}."


def _stretches(line: Line) -> str:
    """The phases of a line, one after another."""
    unit = WORDS.get(line.against, line.against)
    return ", and ".join(
        f"{one.direction} from {number(one.first)} to {number(one.last)} between {amount(one.start)} and "
        f"{amount(one.end)} {unit} (corrected {p_words(one.p)})"
        for one in line.phases
    )


def _limit(line: Line) -> str:
    law = line.law
    if law is None or law.limit.low is None:
        return ""
    end = "when the excess is gone" if line.against == "excess" else "in the limit"
    if not law.settled:
        said = " The points do not settle the exponent of a power law, so nothing is known of a limit."
    else:
        estimate, _, within = interval(law.limit).partition(" ")
        zero = line.limit_adjusted is not None and line.limit_adjusted > SIGNIFICANT
        verdict = "zero is not excluded" if zero else "zero is excluded"
        said = f" A power law leaves {estimate} {end} (95% {within}; for a limit of zero, corrected "
        said += f"{p_words(line.limit_adjusted)}: {verdict})."
    if tested := law.prediction:
        estimate, _, within = interval(tested.predicted).partition(" ")
        verdict = f"the prediction {test_verdict(agrees=tested.agrees, sound=tested.sound)}"
        said += f" A fit without the furthest point predicts {estimate} there (95% {within}), and "
        said += f"{number(tested.observed)} was seen: {verdict}."
    if law.further:
        said += f" Extrapolated, not measured: {_further(line.against, law)}."
    return said


def _evidence(trend: Trend) -> str:
    tested = [point for point in trend.points if point.p_adjusted is not None]
    found = [point for point in tested if (point.p_adjusted or 0.0) <= SIGNIFICANT]
    each = "; ".join(
        f"{_where(point.swept)}: {number(point.strength or 0.0, 1)} spreads, corrected {p_words(point.p_adjusted)}"
        for point in tested
    )
    return f"The factor is found at {len(found)} of {len(tested)} points ({each})."


def scope(trend: Trend) -> str:
    """Say which models a trend is about."""
    models = sum(point.models for point in trend.points)
    units = f"{trend.n_units} {trend.units}" if trend.n_units else "none, so that nothing has an interval"
    smoke = " Preset smoke is too small to mean anything." if trend.setting.preset == "smoke" else ""
    return (
        f"{len(trend.points)} results with {models} variants in all, swept over {', '.join(trend.over)}."
        f"{_stops(trend)} Intervals leave out one of: {units}.{_speed(trend)}{smoke}"
    )


def _stops(trend: Trend) -> str:
    """Say what points of different numbers of tokens are, where they go on from each other."""
    if "budget.stop" not in trend.over:
        return ""
    if trend.setting.overrides.get("schedule.decay_at_stop"):
        return " Each point is a finished run: runs share their training up to the decay of each learning rate."
    return " Points are stops of one training, whose learning rate is what it is at that moment."


def _speed(trend: Trend) -> str:
    if trend.train_share is None:
        return ""
    rate = f", at {trend.tokens_per_second:,.0f} tokens per second and process" if trend.tokens_per_second else ""
    return f" Training took {trend.train_share:.0%} of the time of all jobs{rate}."
