"""Sweeps, crossed seeds, many candidates and curves in a document: sentences, tables and figures of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from natfp_bench.base.markdown import escape
from natfp_bench.base.records import digest
from natfp_bench.pipeline.curve_result import CurveResult
from natfp_bench.pipeline.result import Result
from natfp_bench.results.many import ManyCandidates
from natfp_bench.results.trends import Trend
from natfp_bench.statistics.paired import holm

from .crossed_figures import crossed_figures
from .crossed_words import crossed_sentences, seed_name
from .curve_figures import curve_figures
from .curve_tables import ABOUT as ABOUT_CURVES
from .curve_tables import curve_scope, curve_sentences, curve_table, curve_title
from .drawing import Figure
from .finding import scope as scope_of_result
from .many_tables import many_figure, many_sentences, many_table, many_title
from .markdown import section
from .table import ReportTable, plain_p
from .trend_figures import trend_figures
from .trend_tables import ABOUT, answers, scope, sentences, trend_tables, trend_title

WRITTEN = "Written by `natfp-bench leaderboard --trends` from results that differ in settings that were swept."

SHORTENED = "`natfp-bench leaderboard --trends` has every line of trends, with figures and tables."

NOTHING = "No results differ in settings that were swept"


@dataclass(frozen=True)
class Part:
    """What one trend, crossing, result with many candidates or curve shows. name: begins the names of its figures."""

    name: str
    title: str
    about: str
    answers: Sequence[str]
    details: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    figures: Sequence[Figure] = field(default=(), repr=False)


def trend_parts(
    trends: Sequence[Trend], many: Sequence[ManyCandidates] = (), crossed: Sequence[Result] = ()
) -> list[Part]:
    """The parts of a document: crossings first, then trends, then many candidates."""
    return [*_crossings(crossed), *map(_trend, trends), *map(_many, many)]


def curve_parts(curves: Sequence[CurveResult]) -> list[Part]:
    """A part for each curve, in their order; of several with the same test texts and attributors, the last."""
    newest: dict[str, CurveResult] = {}
    for curve in curves:
        names = [of.attributor.name for of in curve.curves]
        newest[f"{curve.task.name}-{digest([curve.protocol_digest, names])[:8]}"] = curve
    return [_curve(name, curve) for name, curve in newest.items()]


def _curve(name: str, curve: CurveResult) -> Part:
    return Part(
        name=name,
        title=curve_title(curve),
        about=curve_scope(curve),
        answers=[f"{answer} {rest}".strip() for answer, rest in curve_sentences(curve)],
        tables=[curve_table(curve)],
        figures=list(curve_figures(curve)),
    )


def crossed_results(results: Sequence[Result]) -> list[Result]:
    """The results that cross seeds, the newest of each protocol."""
    newest: dict[str, Result] = {}
    for result in sorted(results, key=lambda one: one.run.started):
        if result.study and result.study.crossed:
            newest[result.protocol_digest] = result
    return list(newest.values())


def _trend(trend: Trend) -> Part:
    return Part(
        name=f"{trend.task}-{digest([trend.setting, list(trend.over)])[:8]}",
        title=f"Trend of {trend_title(trend)}",
        about=scope(trend),
        answers=list(answers(trend)),
        details=list(sentences(trend)),
        tables=trend_tables(trend),
        figures=list(trend_figures(trend)),
    )


def _many(one: ManyCandidates) -> Part:
    return Part(
        name=f"{one.task}-{one.protocol_digest[:8]}",
        title=many_title(one),
        about="",
        answers=list(many_sentences(one)),
        tables=[many_table(one)],
        figures=[many_figure(one)],
    )


def _crossings(results: Sequence[Result]) -> Iterator[Part]:
    """A part for each crossing; the tests of single seeds are corrected for all crossings together."""
    sides = [
        (result, side)
        for result in results
        if result.study and result.study.crossed
        for side in result.study.crossed.sides
    ]
    corrected = holm([side.permuted.test.p for _, side in sides])
    for result in results:
        own = [
            f"{seed_name(side.seed)}: {plain_p(p)}"
            for (of, side), p in zip(sides, corrected, strict=True)
            if of is result
        ]
        said = [*crossed_sentences(result.study)]
        if own:
            said.append(
                f"p corrected by Holm for the {len(sides)} questions about single seeds here: {', '.join(own)}."
            )
        yield Part(
            name=f"{result.task.name}-{result.protocol_digest[:8]}",
            title=f"{result.task.name}: {result.factor.name} ({result.preset}, {result.corpus.name})",
            about=scope_of_result(result),
            answers=said,
            figures=list(crossed_figures(result)),
        )


def figures_of(parts: Sequence[Part]) -> dict[str, Figure]:
    """All figures by file name, without an ending."""
    return {f"{part.name}-{figure.name}": figure for part in parts for figure in part.figures}


def curves_section(parts: Sequence[Part], folder: str | None = None) -> list[str]:
    """Write parts on curves as Markdown, with what holds for all of them."""
    return [*written(parts, folder), escape(ABOUT_CURVES)] if parts else []


def in_short(parts: Sequence[Part]) -> list[str]:
    """Write what parts answer as Markdown, for a document about something else."""
    text: list[str] = []
    for part in parts:
        text += [f"## {escape(part.title)}", *([escape(part.about)] if part.about else []), *_listed(part.answers)]
    return [*text, SHORTENED] if text else []


def written(parts: Sequence[Part], folder: str | None = None) -> list[str]:
    """Write parts as Markdown; folder: where their figures lie as SVG, None if there are none."""
    text: list[str] = []
    for part in parts:
        text += [f"## {escape(part.title)}", *([escape(part.about)] if part.about else [])]
        text += _listed(part.answers)
        if folder is not None:
            text += [_image(folder, f"{part.name}-{figure.name}", figure) for figure in part.figures]
        text += ["### Every line", *_listed(part.details)] if part.details else []
        text += map(section, part.tables)
    return text


def _listed(said: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {escape(one)}" for one in said)] if said else []


def _image(folder: str, name: str, figure: Figure) -> str:
    title = escape(figure.title)
    return f"![{title}]({folder}/{name}.svg)\n\n*{title}{'.' * (not title.endswith('?'))}* {escape(figure.caption)}"


def trends_document(parts: Sequence[Part], folder: str | None = None, *, swept: bool = True) -> str:
    """Write one Markdown document; swept: whether there are trends, whose intervals have to be explained."""
    about = [ABOUT] if swept else [] if parts else [f"{NOTHING}."]
    return "\n\n".join(["# Trends", WRITTEN, *about, *written(parts, folder)]) + "\n"
