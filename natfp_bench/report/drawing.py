"""What all figures share: the record of a figure, the colours of roles, the look, and the parts of a chart.

A chart is a Vega-Lite specification in plain dictionaries. Objects that check themselves would be copied several times
on the way, which took longer than all the rest of a site; the tests check whole charts against the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from natfp_bench.base.text import printable

Rows = Sequence[Mapping[str, Any]]

Json = dict[str, Any]
"""A part of a Vega-Lite specification."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

ROWS = "rows"
"""Name of the data in every chart."""

REFERENCE, BEST, CEILING, CHANCE, SEEN = "#0072b2", "#d55e00", "#1d2024", "#767676", "#8a8f94"
"""One colour per role, the same in every figure; levels and everything else have other colours."""

COLOURS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#7f6a00", "#44497a")
"""Colours of levels, safe for the colour-blind (most by Okabe and Ito), apart from those of roles; then: viridis."""

ROLES = {
    "unseen replicates": REFERENCE,
    "seen replicates": SEEN,
    "seen replicates, unseen prompts": SEEN,
    "best attributor": BEST,
    "ceiling": CEILING,
    "chance": CHANCE,
    "perfect": CHANCE,
}
"""Names that are roles wherever they stand in a legend."""

WIDTH = 520
"""Width of a saved figure in pixels; on a page a chart is as wide as its container."""

TALL = 1200
"""Height in pixels above which the lines of a chart move closer together."""

FONT = "Helvetica, Arial, sans-serif"

FEW_CELLS = 12
"""Most columns of a heat map whose cells are labelled."""


@dataclass(frozen=True)
class Plot:
    """A chart whose data have the name ROWS, and these data."""

    chart: Json
    rows: Rows


@dataclass(frozen=True)
class Figure:
    """One figure: its chart, the data that it shows, and how to read it.

    name: a plain word, unique on its page. columns: heading of each field of the rows, in the order of a table.
    caption: how to read it; description: for readers who cannot see it.
    """

    name: str
    title: str
    caption: str
    description: str
    columns: Mapping[str, str]
    rows: Rows
    spec: Mapping[str, Any] = field(repr=False)


def figure(name: str, title: str, caption: str, columns: Mapping[str, str], rows: Rows, plot: Plot) -> Figure:
    """Make a figure; its description is its title and the number of its rows."""
    description = f"{title}. {len(rows)} rows of data, which the table below the figure holds."
    return Figure(name, title, caption, description, columns, rows, specification(plot, description))


def specification(plot: Plot, description: str) -> Json:
    """Turn a plot into a Vega-Lite specification in the common look."""
    inks = {"labelColor": CEILING, "titleColor": CEILING}
    quiet = {
        "grid": True,
        "gridColor": "#e4e4e4",
        "domainColor": "#888888",
        "tickColor": "#888888",
        "titleFontWeight": 500,
        **inks,
    }
    config = {
        "font": FONT,
        "background": "white",
        "padding": 8,
        "axis": {**quiet, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 220},
        "legend": {"orient": "top", "labelFontSize": 12, "labelLimit": 420, "titleFontSize": 12, **inks},
        "title": {"color": CEILING},
        "text": {"color": CEILING},
        "view": {"stroke": None},
        # A screen reader gets the description instead of the marks, which may be a thousand.
        "mark": {"aria": False},
    }
    made = {"$schema": SCHEMA, **plot.chart, "description": description, "config": config}
    made["datasets"] = {ROWS: [*map(dict, plot.rows)]}
    found: Json = made if _PRINTABLE.fullmatch(json.dumps(made)) else _printable(made)
    return found


_PRINTABLE = re.compile(r"(?:[^\\\x7f]|\\[\"\\n])*")
"""JSON without an escaped character other than a quote, a backslash, a line's end: nothing has to be spelled out."""


def _printable(value: Any) -> Any:
    """Spell out control characters: SVG cannot hold them, and vl-convert would end the whole process."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list) else value


def layered(rows: Rows, layers: Sequence[Json], height: int, **more: Any) -> Plot:
    """Put layers on top of each other, the first one behind."""
    return Plot({"data": {"name": ROWS}, "layer": list(layers), "width": WIDTH, "height": height, **more}, rows)


def layer(mark: Json, encoding: Mapping[str, Any], *only: str) -> Json:
    """One layer; `only`: conditions that its rows meet."""
    chosen = {"transform": [{"filter": condition} for condition in only]} if only else {}
    return {"mark": mark, "encoding": dict(encoding), **chosen}


def nominal(name: str, **more: Any) -> Json:
    """Show a field of names."""
    return {"field": name, "type": "nominal", **more}


def quantitative(name: str, **more: Any) -> Json:
    """Show a field of numbers."""
    return {"field": name, "type": "quantitative", **more}


def tooltip(*names: str, numbers: Sequence[str] = (), form: str = ".3f") -> list[Json]:
    """What is said of a mark: names, then numbers in a format."""
    return [*map(nominal, names), *(quantitative(name, format=form) for name in numbers)]


def height_of(lines: int, each: int) -> int:
    """Height in pixels for so many lines: a number, because Vega-Lite warns of steps in charts of fluid width."""
    return max(40, min(lines * each, max(TALL, lines * 7)))


def room(spec: Mapping[str, Any]) -> int:
    """Height in pixels of a drawn chart with its axis, legends and menu: a page reserves it."""
    if "vconcat" in spec:
        return int(spec["usermeta"]["height"])
    encodings = [one["encoding"] for one in spec["layer"]]
    legends: dict[str, int] = {}
    for encoding in encodings:
        for channel in ("color", "strokeDash"):  # shapes share the legend of the colours
            shown = encoding.get(channel, {})
            if shown.get("type") == "nominal" and shown.get("legend", {}) is not None:
                rows = -(-len(shown["scale"]["domain"]) // (shown.get("legend", {}).get("columns") or WIDTH))
                legends[channel] = 18 + 15 * rows
            elif shown.get("type") == "quantitative":
                legends[channel] = 96  # a ramp, and slanted names of the columns below
    return int(spec["height"]) + 68 + sum(legends.values()) + (36 if "params" in spec else 0)


def colour(series: str, names: Sequence[str], *, legend: bool, reference: str | None = None) -> Json:
    """One colour per name, in the given order; `reference`, or a single name, has the colour of that role."""
    domain = list(names)
    alone = domain[0] if len(domain) == 1 else reference
    roles = {**ROLES, **({} if alone is None or alone in ROLES else {alone: REFERENCE})}
    others = [name for name in domain if name not in roles]
    scale: Json = {"domain": domain}
    if len(others) > len(COLOURS):
        scale["scheme"] = "viridis"
    else:
        free = iter(COLOURS)
        scale["range"] = [roles.get(name) or next(free) for name in domain]
    return nominal(series, sort=domain, scale=scale, title=None, legend=_legend(domain, shown=legend))


def shape(series: str, names: Sequence[str], *, legend: bool) -> Json:
    """One shape per name, with the same legend as the colours."""
    domain = list(names)
    return nominal(series, sort=domain, scale={"domain": domain}, title=None, legend=_legend(domain, shown=legend))


def _legend(names: Sequence[str], *, shown: bool) -> Json | None:
    """A legend at most as wide as the chart, with opaque symbols even if a band is faint."""
    return {"symbolOpacity": 1, "columns": legend_columns(names)} if shown else None


def legend_columns(names: Sequence[str]) -> int:
    """Number of names that fit side by side."""
    return max(1, WIDTH // (6 * max([len(name) for name in names], default=1) + 30))
