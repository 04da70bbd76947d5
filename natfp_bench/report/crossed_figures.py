"""Figures of a crossing of seeds: which seed the differences between models go with, and how well each is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from natfp_bench.pipeline.result import Crossed, Result
from natfp_bench.statistics.crossed import Variance

from . import charts
from .crossed_words import ABOUT_PARTS, seed_name
from .drawing import Figure, figure
from .study_figures import ESTIMATE, estimate

HEADINGS = {"type": "by type of token", "position": "by position in the text"}


def crossed_figures(result: Result) -> Iterator[Figure]:
    """The parts of the variance, all tokens and by type and position; and each seed as it is guessed from texts."""
    if result.study is None or (found := result.study.crossed) is None:
        return
    if found.variance:
        yield _parts(found.variance)
    if found.sides:
        yield _sides(found, result.study.reference)


def _parts(found: Variance) -> Figure:
    rows: list[dict[str, Any]] = []
    order: list[str] = []
    groups = (("", [found.whole]), ("type", found.by_type), ("position", found.by_position))
    for kind, many in groups:
        order += [HEADINGS[kind]] if kind and many else []
        for one in many:
            line = "all tokens" if not kind else one.which if kind == "type" else f"position {one.which}"
            order.append(line)
            rows += [
                {"tokens": line, "part": seed_name(part.part), **estimate(part.share), "n": one.tokens}
                for part in one.parts
            ]
    names = [seed_name(part.part) for part in found.whole.parts]
    x_title = "share of the variance between models"
    chart = charts.dots(
        rows, y="tokens", order=order, series="part", names=names, x_title=x_title, lines={"none": 0.0, "all": 1.0}
    )
    columns = {"tokens": "tokens", "part": "goes with", **ESTIMATE, "n": "number of tokens"}
    return figure("crossed", "Which seed do differences go with?", ABOUT_PARTS, columns, rows, chart)


def _sides(found: Crossed, reference: str) -> Figure:
    rows: list[dict[str, Any]] = []
    for side in found.sides:
        line = f"which {seed_name(side.seed)}?"
        rows.append({"question": line, "who": reference, **estimate(side.accuracy)})
        if side.likelihood:
            rows.append({"question": line, "who": "likelihood reference", **estimate(side.likelihood)})
    order, names = (list(dict.fromkeys(str(row[name]) for row in rows)) for name in ("question", "who"))
    chances = {1 / side.values for side in found.sides}
    lines = {"chance": chances.pop()} if len(chances) == 1 else {}
    chart = charts.dots(rows, y="question", order=order, series="who", names=names, x_title="accuracy", lines=lines)
    caption = (
        f"Each seed is guessed on models whose other seeds {reference} has not met: what it finds is what models share "
        "because of this seed. The likelihood reference knows the likelihoods of the same models; it is no bound here."
    )
    columns = {"question": "question", "who": "attributor", **ESTIMATE}
    return figure("crossed-guesses", "Can each seed be read off the texts?", caption, columns, rows, chart)
