"""Kinds of charts: from plain rows to a chart, a pure function of the rows.

Rows map plain names (without dots or brackets, which mean something to Vega) to numbers and strings, which are shown as
they are. The same chart is used on pages and for SVG, PNG and PDF.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .drawing import (
    CHANCE,
    FEW_CELLS,
    REFERENCE,
    Json,
    Plot,
    Rows,
    colour,
    height_of,
    layer,
    layered,
    legend_columns,
    nominal,
    quantitative,
    shape,
    tooltip,
)

VALUES = ("value", "low", "high")
"""Fields of an estimate; `low` and `high` are None without an interval."""

HAS_BOUNDS = "isValid(datum.low)"

UPTO: Json = {"field": "high"}
"""The other end of an interval."""


def dots(
    rows: Rows,
    *,
    y: str,
    order: Sequence[str],
    series: str,
    names: Sequence[str],
    x_title: str,
    lines: Mapping[str, float] | None = None,
) -> Plot:
    """Estimates as dots and intervals as bars: one line per `y`, a colour and a shape for each name of the series.

    Rows have `value`, `low` and `high` (None without an interval); those with a `replicate` are drawn small. order: the
    lines; a line that no row has is a heading. lines: values to compare with, by name.
    """
    used = {row[y] for row in rows}
    headings = [line for line in order if line not in used]
    # The room for labels is measured as if none was bold.
    extent = min(7 * max(map(len, headings), default=0), 220)
    bold = {"test": f"indexof({json.dumps(headings)}, datum.value) >= 0", "value": "bold"}
    axis = {"grid": False, "minExtent": extent, "labelFontWeight": {"condition": bold, "value": "normal"}}
    several = len(names) > 1
    whole = [row for row in rows if row.get("replicate") is None]
    shared = len({row[y] for row in whole}) < len(whole)
    base = {
        "y": nominal(y, scale={"domain": list(order)}, title=None, axis=axis),
        "color": colour(series, names, legend=several),
        "tooltip": tooltip(y, series, numbers=VALUES),
    }
    if shared:
        base["yOffset"] = nominal(series, sort=list(names))
    at = {**base, "x": quantitative("value", title=x_title, scale={"zero": False, "nice": True}, axis={"tickCount": 6})}
    layers = []
    if lines:
        layers.append(_rules(lines, "x"))
    if _bounded(rows):
        ends = {"x": quantitative("low", title=x_title), "x2": UPTO}
        layers.append(layer({"type": "rule", "strokeWidth": 4, "opacity": 0.4}, {**base, **ends}, HAS_BOUNDS))
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 55}
    layers.append(layer(dot, {**at, "shape": shape(series, names, legend=several)}, "!isValid(datum.replicate)"))
    if len(whole) < len(rows):
        layers.append(layer({"type": "circle", "size": 10, "opacity": 0.8}, at, "isValid(datum.replicate)"))
    return layered(rows, layers, height_of(len(order), 13 * len(names) + 5 if shared else 22))


def curve(
    rows: Rows,
    *,
    x: str,
    series: str,
    names: Sequence[str],
    x_title: str,
    y_title: str,
    logarithmic: bool = False,
    detail: str | None = None,
    points: bool = True,
    lines: Mapping[str, float] | None = None,
    reference: str | None = None,
) -> Plot:
    """Lines of `value` against `x`, with the band from `low` to `high` if there is one.

    reference: name of the reference attributor's line. detail: field that separates lines of one colour. Rows with a
    true `dashed` are references, drawn as dashed lines.
    """
    dashed = {str(row[series]) for row in rows if row.get("dashed")}
    scale: Json = {"type": "log", "base": 2, "nice": False} if logarithmic else {"nice": False, "zero": False}
    axis = {"tickCount": 6, "format": "," if logarithmic else "~s"}
    base = {
        "x": quantitative(x, title=x_title, scale=scale, axis=axis),
        "color": colour(series, names, legend=len(names) > 1, reference=reference),
    }
    if detail:
        base["detail"] = nominal(detail)
    dashes = {"domain": list(names), "range": [[5, 4] if name in dashed else [1, 0] for name in names]}
    words = [name for name in (series, detail) if name and any(name in row for row in rows)]
    numbers = [name for name in (x, *VALUES) if any(name in row for row in rows)]
    line = {
        "y": quantitative("value", title=y_title, scale={"zero": False}),
        "strokeDash": nominal(series, scale=dashes, legend=None),
        "tooltip": tooltip(*words, numbers=numbers, form=".4~g"),
    }
    layers = []
    if lines:
        layers.append(_rules(lines, "y"))
    if _bounded(rows):
        ends = {"y": quantitative("low", title=y_title), "y2": UPTO}
        layers.append(layer({"type": "area", "opacity": 0.18}, {**base, **ends}, HAS_BOUNDS))
    stroke = {"type": "line", "point": {"size": 40} if points else False, "strokeWidth": 2 if points else 1.3}
    layers.append(layer(stroke, {**base, **line}))
    # Otherwise the dashes of the curves and those of the lines to compare with would share one scale.
    return layered(rows, layers, 260, resolve={"scale": {"strokeDash": "independent"}})


def heat(
    rows: Rows,
    *,
    x: str,
    y: str,
    order: Sequence[str],
    x_title: str,
    y_title: str,
    scale_title: str,
    middle: float | None = None,
    pick: str | None = None,
    picked: Sequence[str] = (),
) -> Plot:
    """Cells of `value`, labelled by `label` if there are few.

    middle: value from which colours diverge, such as chance. pick: field by which a menu chooses the rows to show.
    """
    only, menu = _picked(pick, picked)
    found = [row["value"] for row in rows if row["value"] is not None]
    top = max([*found, 0.0]) or 1.0
    few = len(order) <= FEW_CELLS
    base = {
        "x": nominal(x, sort=list(order), title=x_title, axis={"labelAngle": -40, "grid": False}),
        "y": nominal(y, sort=list(order), title=y_title, axis={"grid": False}),
    }
    shade: Json
    if middle is None:
        shade = {"scheme": "blues", "domain": [min([*found, 0.0]), top]}
        ink = f"datum.value > {0.6 * top}"
    else:
        shade = {"domain": [0.0, middle, 1.0], "range": ["#8c510a", "#f5f5f5", "#01665e"], "interpolate": "lab"}
        ink = f"datum.value > {middle + 0.55 * (1 - middle)} || datum.value < {0.3 * middle}"
    cell = {"color": quantitative("value", title=scale_title, scale=shade), "tooltip": tooltip(y, x, "label")}
    layers = [layer({"type": "rect"}, {**base, **cell}, *only)]
    if few:
        inks = {"condition": {"test": ink, "value": "white"}, "value": "#222222"}
        said = {"text": nominal("label"), "color": inks}
        layers.append(layer({"type": "text", "fontSize": 12}, {**base, **said}, *only))
    height = height_of(len(order), 40 if few else 14)
    return layered(rows, layers, height, usermeta={"columns": len(order)}, **menu)


def plane(rows: Rows, *, series: str, names: Sequence[str], label: str, said: Sequence[str]) -> Plot:
    """Points at `x` and `y`, with the same scale on both axes, so that distances are shown as they are."""
    reach = 1.15 * (max(abs(row[axis]) for row in rows for axis in ("x", "y")) or 1.0)
    axis = {"tickCount": 5, "format": ".2~g"}
    scale = {"domain": [-reach, reach], "nice": False}
    base = {
        **{name: quantitative(name, title=None, scale=scale, axis=axis) for name in ("x", "y")},
        "color": colour(series, names, legend=True),
        "tooltip": tooltip(*said),
    }
    dot = {"type": "point", "filled": True, "opacity": 1, "size": 90}
    layers = [layer(dot, {**base, "shape": shape(series, names, legend=True)})]
    if len(rows) <= FEW_CELLS:
        words = {"type": "text", "dx": 9, "align": "left", "fontSize": 11}
        layers.append(layer(words, {**base, "text": nominal(label)}))
    # The width is fixed: stretching would distort distances.
    return layered(rows, layers, 340, width=340, usermeta={"fixed": True})


def strip(rows: Rows, *, y: str, order: Sequence[str], x_title: str, said: Sequence[str]) -> Plot:
    """One thin mark per row at its `value`, one line per `y`: shows how groups of values overlap."""
    encoding = {
        "x": quantitative("value", title=x_title, axis={"tickCount": 6}),
        "y": nominal(y, sort=list(order), title=None, axis={"grid": False}),
        "tooltip": tooltip(*said, numbers=("value",)),
    }
    tick = {"type": "tick", "color": REFERENCE, "thickness": 1.5, "opacity": 0.6}
    return layered(rows, [layer(tick, encoding)], height_of(len(order), 30))


def bars(
    rows: Rows,
    *,
    y: str,
    order: Sequence[str],
    x_title: str,
    pick: str | None = None,
    picked: Sequence[str] = (),
    sure: str | None = None,
    names: Sequence[str] = (),
) -> Plot:
    """Bars of `value`, with a thin line from `low` to `high` if there is one.

    sure: field that says whether a bar is in colour (the first of `names`) or grey (the second).
    """
    only, menu = _picked(pick, picked)
    # Sorted by value if a menu changes the rows, else in the given order.
    sort: Any = {"field": "value", "order": "descending"} if pick else list(order)
    # Rows that a menu shows later may have longer names than the first ones.
    extent = 7 * max(len(str(row[y])) for row in rows) if pick else 0
    base = {"y": nominal(y, sort=sort, title=None, axis={"grid": False, "minExtent": min(extent, 220)})}
    scale = {"domain": list(names), "range": [REFERENCE, "#a8a8a8"]}
    bar = {
        "x": quantitative("value", title=x_title, axis={"tickCount": 6}),
        "color": nominal(sure, scale=scale, title=None) if sure else {"value": REFERENCE},
        "tooltip": tooltip(y, numbers=("value",)),
    }
    layers = [layer({"type": "bar", "height": {"band": 0.7}}, {**base, **bar}, *only)]
    if _bounded(rows):
        ends = {"x": quantitative("low", title=x_title), "x2": UPTO}
        rule = {"type": "rule", "color": "#555555", "strokeWidth": 1.5}
        layers.append(layer(rule, {**base, **ends}, *only, HAS_BOUNDS))
    shown = max(Counter(str(row[pick]) if pick else "" for row in rows).values(), default=1)
    return layered(rows, layers, height_of(shown, 20), **menu)


def _bounded(rows: Rows) -> bool:
    """Whether any row has an interval."""
    return any(row.get("low") is not None for row in rows)


def _rules(lines: Mapping[str, float], axis: Literal["x", "y"]) -> Json:
    """Dashed lines across the chart, named in the legend."""
    names = list(lines)
    dashes = [[2, 2], [7, 3], [1, 0], [7, 3, 2, 3]]
    dash = nominal(
        "line",
        sort=names,
        title=None,
        legend={"orient": "bottom", "columns": legend_columns(names)},
        scale={"domain": names, "range": [dashes[i % 4] for i in range(len(names))]},
    )
    encoding = {"strokeDash": dash, "tooltip": tooltip("line", numbers=("at",)), axis: quantitative("at")}
    data = {"data": {"values": [{"line": name, "at": at} for name, at in lines.items()]}}
    return data | layer({"type": "rule", "color": CHANCE, "strokeWidth": 1.5}, encoding)


def _picked(pick: str | None, picked: Sequence[str]) -> tuple[list[str], Json]:
    """Show the rows that a menu chooses, those of the first entry at the start: a condition, and the menu."""
    if pick is None:
        return [], {}
    bind = {"input": "select", "options": list(picked), "name": f"{pick}: "}
    return [f"datum.{pick} === picked"], {"params": [{"name": "picked", "value": picked[0], "bind": bind}]}
