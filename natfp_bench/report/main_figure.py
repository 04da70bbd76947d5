"""The main figure: one line per factor, on runs that no attributor has read beside runs that it has.

The same specification is drawn on the first page, in the README and in papers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE
from natfp_bench.results.leaderboard import FactorRow
from natfp_bench.results.protocols import Protocol
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.per_text import identifiability

from .drawing import (
    CEILING,
    CHANCE,
    REFERENCE,
    ROWS,
    SEEN,
    Figure,
    Json,
    Plot,
    Rows,
    figure,
    layer,
    nominal,
    quantitative,
    tooltip,
)
from .table import number, plain_p

HELD_OUT, SAME = "held-out runs", "same runs"
ONE_HELD_OUT, ONE_SAME = "one held-out replicate", "one replicate, same runs"
INSTANCE, LIMIT, LIKELIHOODS = "instance part", "ceiling, same runs", "likelihoods of the other runs"

FAMILIES: Mapping[str, str] = {
    "size": "Parameter size",
    "optimisation": "Optimisation",
    "seeds": "Seeds",
    "many": "Seeds",
    "budget": "Training budget",
    "data": "Data",
    "architecture": "Architecture",
    "tokenizer": "Tokenizer",
    "numerics": "Numerics",
    "decoding": "Decoding",
    "descent": "Descent",
}
"""Families of factors by the tag of their tasks."""

CONTROLS, OTHERS = "Controls", "Other factors"

LINE, PLOT, SAID = 17, 340, 150
"""Height of a line, width of the plot, and width of the words beside it, in pixels."""

COLUMNS = {
    "family": "family",
    "factor": "factor",
    "mark": "what",
    "value": "identifiability",
    "low": "low (95%)",
    "high": "high (95%)",
    "said": "in words",
}


def family(tags: Sequence[str], control: str | None) -> str:
    """Name the family that a task belongs to."""
    if control:
        return CONTROLS
    return next((FAMILIES[tag] for tag in tags if tag in FAMILIES), OTHERS)


def main_figure(rows: Sequence[FactorRow], protocols: Mapping[str, Protocol], name: str, title: str) -> Figure | None:
    """Draw the current factors of one setting, in the order of the rows; `protocols` by their digest."""
    shown = [row for row in rows if row.current and (row.unseen or row.seen)]
    named = _names(shown)
    found = [mark for row in shown for mark in _marks(row, protocols[row.protocol_digest], named[row.task])]
    if not any(mark["mark"] in (HELD_OUT, SAME) for mark in found):
        return None
    _label(found)
    families = list(dict.fromkeys(str(mark["family"]) for mark in found))
    families.sort(key=lambda one: one == CONTROLS)
    found.sort(key=lambda mark: families.index(mark["family"]))
    references = ", ".join(sorted({row.reference for row in shown if row.reference})) or "the reference attributor"
    held_out = any(mark["mark"] == HELD_OUT for mark in found)
    return figure(name, title, _caption(references, held_out=held_out), COLUMNS, found, plot(found, families))


def _names(rows: Sequence[FactorRow]) -> dict[str, str]:
    """Plain name of each task's factor; tasks whose factors have the same name add their own."""
    names = [row.factor for row in rows]
    return {row.task: row.factor if names.count(row.factor) == 1 else f"{row.factor} ({row.task})" for row in rows}


def _marks(row: FactorRow, protocol: Protocol, factor: str) -> Iterator[dict[str, Any]]:
    """Everything that one line shows."""
    task = protocol.newest.task
    of = {"family": family(task.tags, task.control), "factor": factor}

    def mark(what: str, found: Interval | None = None, **more: Any) -> dict[str, Any]:
        said: dict[str, Any] = {"value": None, "low": None, "high": None, "said": ""}
        if found is not None:
            said |= {"value": found.value, "low": found.low, "high": found.high}
        return {**of, "mark": what, **said, **more}

    seen, unseen = (one.reference if one else None for one in (row.seen, row.unseen))
    if unseen and seen:
        yield mark(INSTANCE, value=seen.value - unseen.value, low=unseen.value, high=seen.value)
    if unseen and row.unseen:
        single = protocol.level(row.unseen.split)[row.reference or ""]
        for at in single.parts:
            yield mark(ONE_HELD_OUT, value=identifiability(at, single.chance))
        known = protocol.level(row.unseen.split).get(LIKELIHOOD_REFERENCE)
        if known and "identifiability" in known.metrics:
            yield mark(LIKELIHOODS, known.metrics["identifiability"])
    if seen and row.seen:
        yield from (mark(ONE_SAME, value=at) for at in _by_replicate(protocol, row))
        if row.seen.ceiling:
            yield mark(LIMIT, row.seen.ceiling)
        yield mark(SAME, seen, said="" if unseen else _said(seen, row), alone=unseen is None)
    if unseen:
        yield mark(HELD_OUT, unseen, said=_said(unseen, row))


def _by_replicate(protocol: Protocol, row: FactorRow) -> list[float]:
    """Identifiability on each replicate of the seen runs; empty unless there are several."""
    score = protocol.level(row.seen.split if row.seen else "").get(row.reference or "")
    of = {variant.name: variant.replicate for variant in protocol.newest.variants}
    accuracies: dict[int, list[float]] = {}
    for name, accuracy in (score.by_variant if score else {}).items():
        if name in of:
            accuracies.setdefault(of[name], []).append(accuracy)
    if score is None or len(accuracies) < 2:
        return []
    return [identifiability(sum(own) / len(own), score.chance) for own in accuracies.values()]


def _said(found: Interval, row: FactorRow) -> str:
    """The estimate in words: with its interval, or the reason why there is none; of a factor, with its p."""
    value = number(found.value, 2)
    if row.unseen is None:
        to = "–" if (found.low or 0.0) >= 0 else " to "
        bounds = None if found.low is None or found.high is None else (number(found.low, 2), number(found.high, 2))
        return f"{value} ({to.join(bounds)}), same runs" if bounds else f"{value}: no interval"
    if found.high is None:
        return f"{value}, {row.replicates} runs: no interval"
    p = f", {row.verdict}" if row.verdict == "not testable" else ""
    if row.p_adjusted is not None:
        p = f", p {plain_p(row.p_adjusted)}"
    return f"{value} ± {number(found.high - found.value, 2)}{p}"


def _label(found: Sequence[dict[str, Any]]) -> None:
    """Name the marks of the first line, where there is room; the names stand above it."""
    first = [mark for mark in found if mark["factor"] == found[0]["factor"]]
    at = {mark["mark"]: mark for mark in first}
    held_out, same, limit = (at.get(name) for name in (HELD_OUT, SAME, LIMIT))
    if held_out and held_out["value"] > 0.25:
        held_out["left"] = HELD_OUT
    if same and (limit is None or limit["value"] - same["value"] > 0.28):
        same["right"] = SAME
    if limit and limit["value"] <= 1:
        limit["above"] = "ceiling"
    if held_out:
        held_out["header"] = "held-out runs, ± 95%"


def _caption(references: str, *, held_out: bool) -> str:
    """How to read it."""
    runs = (
        "Filled dots: runs that no attributor has read, so this is about the factor; bars are 95% intervals over the "
        "replicates, which the small dots show one by one. "
        if held_out
        else ""
    )
    return (
        f"How well {references} names the level from one text: 0 is chance, 1 is certainty. {runs}Open dots: other "
        "texts of runs that it has read, so single runs are recognised, too; the grey line between is that part. "
        "The long black tick is the ceiling of the open dot: what the likelihoods of these very models reach."
        + (
            " The short tick is the same for the filled dot, from the likelihoods of the other runs; it is no bound. "
            "p is corrected for the number of factors."
            if held_out
            else ""
        )
    )


def plot(rows: Rows, families: Sequence[str]) -> Plot:
    """Draw the marks: one facet per family."""
    zero, one = "datum.value === 0", "datum.value === 1"
    # A dotted line at chance, the other lines of the grid faint.
    grid: Json = {
        "tickCount": 6,
        "gridColor": {"condition": {"test": zero, "value": CHANCE}, "value": "#e4e4e4"},
        "gridDash": {"condition": {"test": zero, "value": [1.5, 2.5]}, "value": []},
        "gridWidth": {"condition": {"test": zero, "value": 1.5}, "value": 1},
        "domain": False,
        "ticks": False,
    }
    below = {"labelExpr": f"{zero} ? '0: chance' : {one} ? '1: certain' : datum.label", **grid}
    # The names of the first line's marks stand between it and the labels.
    above = {**below, "orient": "top", "labelPadding": 15}
    none = {"labels": False, **grid}
    room = {"minExtent": 250, "maxExtent": 250, "labelLimit": 248, "labelPadding": 6}
    names = {"grid": False, "ticks": False, "domain": False, **room}
    # Not cut off at 0: an estimate below chance is drawn where it is.
    ends = [row[end] for row in rows for end in ("value", "low", "high") if row[end] is not None]
    reach = {"domain": [min(-0.04, *ends), max(1.03, *ends)], "nice": False}

    def panel(of: str) -> Json:
        """The lines of one family; the first and the last one have the scale."""
        factors = list(dict.fromkeys(str(row["factor"]) for row in rows if row["family"] == of))
        last = of == families[-1]
        across: Json = {
            "title": "identifiability" if last else None,
            "axis": below if last else above if of == families[0] else none,
            "scale": reach,
        }
        line = nominal("factor", scale={"domain": factors}, title=None, axis=names)
        return {
            "layer": _layers(line, *(quantitative(name, **across) for name in ("value", "low"))),
            "transform": [{"filter": f"datum.family === {json.dumps(of)}"}],
            "title": {"text": of, "anchor": "start", "fontSize": 12, "fontWeight": "bold", "offset": 3},
            "width": PLOT,
            "height": LINE * len(factors),
        }

    lines = len({row["factor"] for row in rows})
    usermeta = {"height": LINE * (lines + len(families)) + 92, "beside": SAID}
    panels = [panel(of) for of in families]
    return Plot({"data": {"name": ROWS}, "vconcat": panels, "spacing": 4, "usermeta": usermeta}, rows)


def _layers(line: Json, x: Json, low: Json) -> list[Json]:
    """The marks of a panel, those behind first."""
    told = {"y": line, "tooltip": tooltip("factor", "mark", numbers=("value", "low", "high"))}

    def only(*marks: str) -> str:
        return f"indexof({list(marks)}, datum.mark) >= 0"

    def reach(of: str, *more: str, **style: Any) -> Json:
        """A line from `low` to `high`."""
        ends = {**told, "x": low, "x2": {"field": "high"}}
        return layer({"type": "rule", **style}, ends, " && ".join([only(of), *more]))

    def at(of: str, kind: str, **style: Any) -> Json:
        """A mark at `value`."""
        return layer({"type": kind, **style}, {**told, "x": x}, only(of))

    def words(field: str, *of: str, place: Json = x, **style: Any) -> Json:
        said = {"y": line, "x": place, "text": nominal(field), "tooltip": {"value": None}}
        return layer({"type": "text", "fontSize": 11, **style}, said, only(*of), f"isValid(datum.{field})")

    known = "isValid(datum.low)"
    return [
        reach(INSTANCE, color="#b9bdc1", strokeWidth=2),
        reach(SAME, known, color=SEEN, strokeWidth=1.5),
        reach(HELD_OUT, known, color=REFERENCE, strokeWidth=4, opacity=0.4),
        at(ONE_HELD_OUT, "circle", color=REFERENCE, size=9, opacity=0.8),
        at(ONE_SAME, "circle", color=SEEN, size=9, opacity=0.8),
        at(LIMIT, "tick", color=CEILING, thickness=1.2, size=13),
        at(LIKELIHOODS, "tick", color=CEILING, thickness=1.2, size=6),
        at(SAME, "point", shape="circle", fill="#ffffff", stroke=REFERENCE, size=46, strokeWidth=1.6, opacity=1),
        at(HELD_OUT, "point", shape="circle", filled=True, color=REFERENCE, opacity=1, size=62),
        words("said", HELD_OUT, SAME, place={"value": "width"}, align="left", dx=10),
        words("header", HELD_OUT, place={"value": "width"}, align="left", dx=10, dy=-13),
        words("left", HELD_OUT, align="right", dy=-13, dx=-3),
        words("right", SAME, align="left", dy=-13, dx=3),
        words("above", LIMIT, align="right", dy=-13, dx=4),
    ]
