"""Charts: from plain rows to Altair charts, all in one look.

A chart is a pure function of its rows. These map plain names (without dots or brackets, which mean something to Vega)
to numbers and strings, which are shown as they are. The same chart is used on pages and for SVG, PNG and PDF. Altair
is imported only when a chart is made, because the import is slow.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from natfp_bench.base.text import printable

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[Mapping[str, Any]]

Chart = Any
"""An Altair chart of layers; its types say less than they cost."""


@dataclass(frozen=True)
class Plot:
    """A chart whose data are named ROWS, these data, and properties of the whole.

    Altair would copy and check each row, and the whole chart for each property, several times.
    """

    chart: Chart
    rows: Rows
    top: Mapping[str, Any] = field(default_factory=dict)


ROWS = "rows"
"""Name of the data in every chart."""

Make = TypeVar("Make", bound=Callable[..., Any])


def unchecked(make: Make) -> Make:
    """Let Altair build without checking each part against its schema: the tests check whole charts."""

    @functools.wraps(make)
    def made(*given: Any, **named: Any) -> Any:
        from altair.utils import schemapi

        with schemapi.debug_mode(False):
            return make(*given, **named)

    return cast("Make", made)


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


@unchecked
def specification(plot: Plot, description: str) -> dict[str, Any]:
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
    # The tests validate against the schema; doing so here would take longer than all the rest.
    made = {**plot.chart.to_dict(validate=False), **plot.top, "description": description, "config": config}
    made["datasets"] = {**made.get("datasets", {}), ROWS: [*map(dict, plot.rows)]}
    found: dict[str, Any] = made if _PRINTABLE.fullmatch(json.dumps(made)) else _printable(made)
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


@unchecked
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
    import altair as alt

    headings = [line for line in order if all(row[y] != line for row in rows)]
    # The room for labels is measured as if none was bold.
    extent = min(7 * max(map(len, headings), default=0), 220)
    bold = {"test": f"indexof({json.dumps(headings)}, datum.value) >= 0", "value": "bold"}
    tooltip = [alt.Tooltip(f"{y}:N"), alt.Tooltip(f"{series}:N")]
    tooltip += [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")]
    several = len(names) > 1
    whole = [row for row in rows if row.get("replicate") is None]
    shared = len({row[y] for row in whole}) < len(whole)
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        y=alt.Y(
            f"{y}:N",
            scale=alt.Scale(domain=list(order)),
            title=None,
            axis=alt.Axis(grid=False, minExtent=extent, labelFontWeight={"condition": bold, "value": "normal"}),
        ),
        color=_colour(series, names, legend=several),
        tooltip=tooltip,
    )
    if shared:
        base = base.encode(yOffset=alt.YOffset(f"{series}:N", sort=list(names)))
    x = alt.X("value:Q", title=x_title, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=6))
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=4, opacity=0.4)
    points = base.transform_filter("!isValid(datum.replicate)").mark_point(filled=True, opacity=1, size=55)
    shapes = points.encode(x=x, shape=_shape(series, names, legend=several))
    layers = [shapes]
    if len(whole) < len(rows):
        layers.append(base.transform_filter("isValid(datum.replicate)").mark_circle(size=10, opacity=0.8).encode(x=x))
    if any(row.get("low") is not None for row in rows):
        layers.insert(0, bars.encode(x=alt.X("low:Q", title=x_title), x2=alt.X2("high:Q")))
    if lines:
        layers.insert(0, _rules(lines, "x"))
    height = _height(len(order), 13 * len(names) + 5 if shared else 22)
    return Plot(alt.layer(*layers), rows, {"width": WIDTH, "height": height})


@unchecked
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
    import altair as alt

    dashed = sorted({str(row[series]) for row in rows if row.get("dashed")})
    several = len(names) > 1
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X(
            f"{x}:Q",
            title=x_title,
            scale=alt.Scale(type="log", base=2, nice=False) if logarithmic else alt.Scale(nice=False, zero=False),
            axis=alt.Axis(tickCount=6, format="," if logarithmic else "~s"),
        ),
        color=_colour(series, names, legend=several, reference=reference),
    )
    if detail:
        base = base.encode(detail=alt.Detail(f"{detail}:N"))
    dash = alt.StrokeDash(
        f"{series}:N",
        scale=alt.Scale(domain=list(names), range=[[5, 4] if name in dashed else [1, 0] for name in names]),
        legend=None,
    )
    known = [name for name in (series, detail, x, "value", "low", "high") if name and any(name in row for row in rows)]
    tooltip = [
        alt.Tooltip(f"{name}:N") if name in (series, detail) else alt.Tooltip(f"{name}:Q", format=".4~g")
        for name in known
    ]
    y = alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False))
    line = base.mark_line(point={"size": 40} if points else False, strokeWidth=2 if points else 1.3)
    layers = [line.encode(y=y, strokeDash=dash, tooltip=tooltip)]
    if any(row.get("low") is not None for row in rows):
        band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.18)
        layers.insert(0, band.encode(y=alt.Y("low:Q", title=y_title), y2=alt.Y2("high:Q")))
    if lines:
        layers.insert(0, _rules(lines, "y"))
    # Otherwise the dashes of the curves and those of the lines to compare with would share one scale.
    apart = {"resolve": {"scale": {"strokeDash": "independent"}}}
    return Plot(alt.layer(*layers), rows, {"width": WIDTH, "height": 260, **apart})


@unchecked
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
    import altair as alt

    base = alt.Chart(alt.NamedData(ROWS))
    if pick:
        base = _picked(base, pick, picked)
    found = [row["value"] for row in rows if row["value"] is not None]
    top = max([*found, 0.0]) or 1.0
    few = len(order) <= FEW_CELLS
    base = base.encode(
        x=alt.X(f"{x}:N", sort=list(order), title=x_title, axis=alt.Axis(labelAngle=-40, grid=False)),
        y=alt.Y(f"{y}:N", sort=list(order), title=y_title, axis=alt.Axis(grid=False)),
    )
    if middle is None:
        shade = alt.Scale(scheme="blues", domain=[min([*found, 0.0]), top])
        ink = f"datum.value > {0.6 * top}"
    else:
        shade = alt.Scale(domain=[0.0, middle, 1.0], range=["#8c510a", "#f5f5f5", "#01665e"], interpolate="lab")
        ink = f"datum.value > {middle + 0.55 * (1 - middle)} || datum.value < {0.3 * middle}"
    colour = alt.Color("value:Q", title=scale_title, scale=shade)
    cells = base.mark_rect().encode(color=colour, tooltip=[alt.Tooltip(f"{name}:N") for name in (y, x, "label")])
    layers = [cells]
    if few:
        inks = alt.condition(ink, alt.value("white"), alt.value("#222222"))
        layers.append(base.mark_text(fontSize=12).encode(text=alt.Text("label:N"), color=inks))
    height = _height(len(order), 40 if few else 14)
    top = {"width": WIDTH, "height": height, "usermeta": {"columns": len(order)}}
    return Plot(alt.layer(*layers), rows, top)


@unchecked
def plane(rows: Rows, *, series: str, names: Sequence[str], label: str, tooltip: Sequence[str]) -> Plot:
    """Points at `x` and `y`, with the same scale on both axes, so that distances are shown as they are."""
    import altair as alt

    reach = 1.15 * (max(abs(row[axis]) for row in rows for axis in ("x", "y")) or 1.0)
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(tickCount=5, format=".2~g")
    base = alt.Chart(alt.NamedData(ROWS)).encode(
        x=alt.X("x:Q", title=None, scale=scale, axis=axis),
        y=alt.Y("y:Q", title=None, scale=scale, axis=axis),
        color=_colour(series, names, legend=True),
        tooltip=[alt.Tooltip(f"{name}:N") for name in tooltip],
    )
    dots_ = base.mark_point(filled=True, opacity=1, size=90).encode(shape=_shape(series, names, legend=True))
    layers = [dots_]
    if len(rows) <= FEW_CELLS:
        layers.append(base.mark_text(dx=9, align="left", fontSize=11).encode(text=alt.Text(f"{label}:N")))
    # The width is fixed: stretching would distort distances.
    return Plot(alt.layer(*layers), rows, {"width": 340, "height": 340, "usermeta": {"fixed": True}})


@unchecked
def strip(rows: Rows, *, y: str, order: Sequence[str], x_title: str, tooltip: Sequence[str]) -> Plot:
    """One thin mark per row at its `value`, one line per `y`: shows how groups of values overlap."""
    import altair as alt

    base = alt.Chart(alt.NamedData(ROWS)).mark_tick(color=REFERENCE, thickness=1.5, opacity=0.6)
    drawn = base.encode(
        x=alt.X("value:Q", title=x_title, axis=alt.Axis(tickCount=6)),
        y=alt.Y(f"{y}:N", sort=list(order), title=None, axis=alt.Axis(grid=False)),
        tooltip=[*(alt.Tooltip(f"{name}:N") for name in tooltip), alt.Tooltip("value:Q", format=".3f")],
    )
    return Plot(alt.layer(drawn), rows, {"width": WIDTH, "height": _height(len(order), 30)})


@unchecked
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
    import altair as alt

    base = alt.Chart(alt.NamedData(ROWS))
    if pick:
        base = _picked(base, pick, picked)
    # Sorted by value if a menu changes the rows, else in the given order.
    sort: Any = alt.SortField("value", order="descending") if pick else list(order)
    # Rows that a menu shows later may have longer names than the first ones.
    extent = 7 * max(len(str(row[y])) for row in rows) if pick else 0
    axis = alt.Axis(grid=False, minExtent=min(extent, 220))
    base = base.encode(y=alt.Y(f"{y}:N", sort=sort, title=None, axis=axis))
    x = alt.X("value:Q", title=x_title, axis=alt.Axis(tickCount=6))
    scale = alt.Scale(domain=list(names), range=[REFERENCE, "#a8a8a8"])
    shade: Any = alt.Color(f"{sure}:N", scale=scale, title=None) if sure else alt.value(REFERENCE)
    tooltip = [alt.Tooltip(f"{y}:N"), alt.Tooltip("value:Q", format=".3f")]
    drawn = base.mark_bar(height={"band": 0.7}).encode(x=x, color=shade, tooltip=tooltip)
    layers = [drawn]
    if any(row.get("low") is not None for row in rows):
        spread = base.transform_filter("isValid(datum.low)").mark_rule(color="#555555", strokeWidth=1.5)
        layers.append(spread.encode(x=alt.X("low:Q", title=x_title), x2=alt.X2("high:Q")))
    shown = max(Counter(str(row[pick]) if pick else "" for row in rows).values(), default=1)
    return Plot(alt.layer(*layers), rows, {"width": WIDTH, "height": _height(shown, 20)})


def _height(lines: int, each: int) -> int:
    """Height in pixels for so many lines: a number, because Vega-Lite warns of steps in charts of fluid width."""
    return max(40, min(lines * each, max(TALL, lines * 7)))


def room(spec: Mapping[str, Any]) -> int:
    """Height in pixels of a drawn chart with its axis, legends and menu: a page reserves it."""
    if "vconcat" in spec:
        return int(spec["usermeta"]["height"])
    encodings = [layer["encoding"] for layer in spec.get("layer", [spec])]
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


def _colour(series: str, names: Sequence[str], *, legend: bool, reference: str | None = None) -> alt.Color:
    """One colour per name, in the given order; `reference`, or a single name, has the colour of that role."""
    import altair as alt

    domain = list(names)
    alone = domain[0] if len(domain) == 1 else reference
    roles = {**ROLES, **({} if alone is None or alone in ROLES else {alone: REFERENCE})}
    others = [name for name in domain if name not in roles]
    if len(others) > len(COLOURS):
        scale = alt.Scale(domain=domain, scheme="viridis")
    else:
        free = iter(COLOURS)
        scale = alt.Scale(domain=domain, range=[roles.get(name) or next(free) for name in domain])
    return alt.Color(f"{series}:N", sort=domain, scale=scale, title=None, legend=_legend(domain, shown=legend))


def _shape(series: str, names: Sequence[str], *, legend: bool) -> alt.Shape:
    """One shape per name, with the same legend as the colours."""
    import altair as alt

    domain = list(names)
    return alt.Shape(
        f"{series}:N", sort=domain, scale=alt.Scale(domain=domain), title=None, legend=_legend(domain, shown=legend)
    )


def _legend(names: Sequence[str], *, shown: bool) -> alt.Legend | None:
    """A legend at most as wide as the chart, with opaque symbols even if a band is faint."""
    import altair as alt

    return alt.Legend(symbolOpacity=1, columns=_columns(names)) if shown else None


def _columns(names: Sequence[str]) -> int:
    """Number of names that fit side by side."""
    return max(1, WIDTH // (6 * max([len(name) for name in names], default=1) + 30))


def _rules(lines: Mapping[str, float], axis: Literal["x", "y"]) -> Chart:
    """Dashed lines across the chart, named in the legend."""
    import altair as alt

    names = list(lines)
    data = alt.InlineData(values=[{"line": name, "at": at} for name, at in lines.items()])
    dashes = [[2, 2], [7, 3], [1, 0], [7, 3, 2, 3]]
    dash = alt.StrokeDash(
        "line:N",
        sort=names,
        title=None,
        legend=alt.Legend(orient="bottom", columns=_columns(names)),
        scale=alt.Scale(domain=names, range=[dashes[i % 4] for i in range(len(names))]),
    )
    rules = alt.Chart(data).mark_rule(color=CHANCE, strokeWidth=1.5)
    rules = rules.encode(strokeDash=dash, tooltip=[alt.Tooltip("line:N"), alt.Tooltip("at:Q", format=".3f")])
    return rules.encode(x=alt.X("at:Q")) if axis == "x" else rules.encode(y=alt.Y("at:Q"))


def _picked(base: alt.Chart, pick: str, picked: Sequence[str]) -> Chart:
    """Show the rows that a menu chooses, those of the first entry at the start."""
    import altair as alt

    menu = alt.param(name="picked", value=picked[0], bind=alt.binding_select(options=list(picked), name=f"{pick}: "))
    return base.add_params(menu).transform_filter(f"datum.{pick} === picked")
