"""Figures of scores: attributors on one task, one attributor on all tasks, controls, simulated experiments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from natfp_bench.base.rungs import GIVEN, RUNGS
from natfp_bench.pipeline.result import Score
from natfp_bench.plan.split import UNSEEN_REPLICATE
from natfp_bench.results.leaderboard import by_rung
from natfp_bench.results.protocols import Protocol

from . import charts
from .drawing import Figure, Rows, figure
from .result_tables import SPLITS
from .study_figures import ESTIMATE, estimate, places_in
from .table import number


def level_views(protocol: Protocol) -> list[tuple[str, dict[str, Score]]]:
    """Scores of the level on each split that has any, in the order of a page."""
    return [(split, scores) for split in SPLITS if (scores := protocol.level(split))]


def accuracy(protocol: Protocol) -> Figure | None:
    """Accuracy of every attributor on levels, unseen replicates beside seen ones, with chance and the ceiling."""
    views = level_views(protocol)
    lines: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for split, scores in views:
        for name, score in scores.items():
            if "accuracy" not in score.metrics:
                continue
            lines.setdefault("chance", score.chance)
            if score.attributor.access == "likelihood":
                shown = "ceiling (seen replicates)" if name == "ceiling" else f"{name} ({SPLITS[split]})"
                lines[shown] = score.metrics["accuracy"].value
            else:
                of = {"attributor": name, "split": SPLITS[split]}
                rows.append({**of, **estimate(score.metrics["accuracy"]), "replicate": None})
                if split == UNSEEN_REPLICATE:
                    single = enumerate(score.parts)
                    rows += [{**of, "value": at, "low": None, "high": None, "replicate": r} for r, at in single]
    if not rows:
        return None
    main = [row for row in rows if row["split"] == rows[0]["split"] and row["replicate"] is None]
    main.sort(key=lambda row: -row["value"])
    order = list(dict.fromkeys([row["attributor"] for row in [*main, *rows]]))
    rows.sort(key=lambda row: order.index(row["attributor"]))
    names = [SPLITS[split] for split, _ in views]
    caption = (
        f"Share of test texts whose level is identified{_bounds(main)}. On unseen replicates, an attributor has "
        "seen none "
        "of the models that wrote the test texts; on seen ones, it may recognise individual models."
        if len(views) > 1
        else f"Share of test texts whose level is identified{_bounds(main)}."
    )
    chart = charts.dots(rows, y="attributor", order=order, series="split", names=names, x_title="accuracy", lines=lines)
    columns = {"attributor": "attributor", "split": "test texts", "replicate": "held-out replicate", **ESTIMATE}
    return figure("accuracy", "Accuracy of every attributor", caption, columns, rows, chart)


def _bounds(rows: Rows) -> str:
    """What is drawn of the uncertainty, in words."""
    score_bounds = [row for row in rows if row["low"] is not None]
    if score_bounds:
        return ", with its 95% interval; small dots are single held-out replicates, if any"
    return ". There are too few units for an interval; small dots are single held-out replicates, if any"


def ladder(protocols: Sequence[Protocol]) -> Figure | None:
    """Identifiability by the best attributor of each rung, on each task; None if all are the lowest."""
    rows: list[dict[str, Any]] = []
    for protocol in protocols:
        held_out = protocol.main_split == UNSEEN_REPLICATE
        for of in by_rung(protocol.level(protocol.main_split)):
            task = protocol.newest.task.name + (" (held-out runs)" if held_out else "")
            rows.append(
                {"task": task, "rung": of.rung, "attributor": ", ".join(of.names), **estimate(of.identifiability)}
            )
    if all(row["rung"] in ("texts", "weights") for row in rows):
        return None
    climbed = {row["task"] for row in rows if row["rung"] not in ("texts", "weights")}
    rows = [row for row in rows if row["task"] in climbed]
    names = [rung for rung in RUNGS if any(row["rung"] == rung for row in rows)]
    order = list(dict.fromkeys(row["task"] for row in rows))
    chart = charts.dots(
        rows, y="task", order=order, series="rung", names=names, x_title="identifiability", lines={"chance": 0.0}
    )
    given = "; ".join(f"{rung}: {GIVEN[rung]}" for rung in names)
    caption = (
        "What can be identified, by what is known. Each dot is the best attributor of its rung, chosen on other texts "
        f"than it is measured on, with its 95% interval. Each rung is given what those before it have: {given}. "
        "0 is chance, 1 is certainty."
    )
    columns = {"task": "task", "rung": "knowledge", "attributor": "attributor", **ESTIMATE}
    return figure("ladder", "Identifiability by what is known", caption, columns, rows, chart)


def confusion(protocol: Protocol) -> Figure | None:
    """Confusion of each attributor on the main split, as shares of each level's texts."""
    levels = protocol.newest.factor.levels
    views = level_views(protocol)
    scores = {name: score for name, score in views[0][1].items() if score.confusion} if views else {}
    reference = protocol.newest.study.reference if protocol.newest.study else None
    names = sorted(scores, key=lambda name: (name != reference, scores[name].attributor.access != "text", name))
    rows = []
    for name in names:
        score = scores[name]
        for truth, row in zip(score.classes, score.confusion or (), strict=True):
            total = sum(row)
            for guess, count in zip(score.classes, row, strict=True):
                share = count / total if total else None
                label = "" if share is None else number(share, 2)
                rows.append({"attributor": name, "truth": truth, "guess": guess, "value": share, "label": label})
    if not rows:
        return None
    rows.sort(key=lambda row: (names.index(str(row["attributor"])), *places_in(levels, row["truth"], row["guess"])))
    chart = charts.heat(
        rows,
        x="guess",
        y="truth",
        order=levels,
        x_title="guess",
        y_title="truth",
        scale_title="share of a level's texts",
        middle=1 / max(2, len(levels)),
        pick="attributor",
        picked=names,
    )
    columns = {"attributor": "attributor", "truth": "truth", "guess": "guess", "value": "share"}
    caption = (
        f"Share of each level's texts ({SPLITS[views[0][0]]}) by guessed level: green is above "
        "chance, brown below. The menu chooses the attributor."
    )
    return figure("confusion", "Which level is taken for which", caption, columns, rows, chart)


def in_sections(rows: Rows, field: str) -> list[str]:
    """Tasks below the headings of their sections: figures of different sections do not compare."""
    sections: dict[str, list[str]] = {}
    for row in rows:
        sections.setdefault(str(row[field]), []).append(str(row["task"]))
    return list(dict.fromkeys(name for section, tasks in sections.items() for name in (f"{section}:", *tasks)))


def over_tasks(rows: Rows, name: str) -> Figure | None:
    """Identifiability by one attributor on each task."""
    if not rows:
        return None
    parts = list(dict.fromkeys(str(row["part"]) for row in rows))
    order = in_sections(rows, "section")
    chart = charts.dots(
        rows, y="task", order=order, series="part", names=parts, x_title="identifiability", lines={"chance": 0.0}
    )
    caption = "Each task on its main split, with its 95% interval if there are enough units. 0 is chance."
    columns = {"task": "task", "section": "section", "part": "setting", **ESTIMATE}
    return figure("tasks", f"{name} on every task", caption, columns, rows, chart)


def calibration(rows: Rows, name: str) -> Figure | None:
    """Share of right guesses against their confidence."""
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["part"]) for row in rows))
    lowest = min(row["confidence"] for row in rows)
    ideal = [{"part": "perfect", "confidence": at, "value": at, "dashed": True} for at in (lowest, 1.0)]
    chart = charts.curve(
        [*rows, *ideal],
        x="confidence",
        series="part",
        names=[*names, "perfect"],
        x_title="confidence of a guess",
        y_title="share of guesses that are right",
    )
    caption = (
        "Guesses of levels on all tasks except controls, in ten equal parts by confidence. Above the dashed line the "
        "attributor is underconfident, below it overconfident."
    )
    columns = {"part": "setting", "confidence": "mean confidence", "value": "share right", "texts": "texts"}
    return figure("calibration", f"Calibration of {name}", caption, columns, rows, chart)


def controls(rows: Rows) -> Figure | None:
    """Identifiability by each attributor on tasks whose true identifiability is known."""
    if not rows:
        return None
    shown = [{**row, "line": f"{row['task']}: {row['attributor']}"} for row in rows]
    order = list(dict.fromkeys(str(row["line"]) for row in shown))
    parts = list(dict.fromkeys(str(row["part"]) for row in shown))
    chart = charts.dots(
        shown, y="line", order=order, series="part", names=parts, x_title="identifiability", lines={"chance": 0.0}
    )
    caption = "Negative controls compare a model with itself or with a repeated training; positive ones are easy."
    columns = {"task": "task", "setting": "setting", "attributor": "attributor", "part": "truth", **ESTIMATE}
    return figure("controls", "Controls: tasks whose true identifiability is known", caption, columns, shown, chart)


def simulated(sections: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Simulated experiments whose truth is known: what each saw, on a scale on which its band ends at -1 and 1."""
    rows = []
    for section in sections:
        for row in section["rows"]:
            place = _within_band(row)
            if place is not None:
                held = "inside its band" if row["holds"] else "outside its band"
                rows.append({"section": section["title"], **row, "value": place, "held": held})
    if not rows:
        return None
    order = list(dict.fromkeys(str(row["section"]) for row in rows))
    chart = charts.strip(rows, y="section", order=order, x_title=BAND, said=("what", "expected", "seen", "band"))
    columns = {"section": "section", "what": "what", "expected": "expected", "seen": "seen", "band": "band"}
    caption = (
        "One mark per simulated experiment that has a band around an expected number: 0 is what was expected, -1 and 1 "
        "are the ends of the band (99.9% or four standard errors). The tables below have all experiments."
    )
    columns |= {"value": "place in the band", "held": "outcome"}
    return figure("simulations", "Simulated experiments whose truth is known", caption, columns, rows, chart)


BAND = "place in the band: 0 is what was expected, -1 and 1 are its ends"

_NUMBER = r"(\d+\.?\d*)"


def _within_band(row: Mapping[str, Any]) -> float | None:
    """Where a simulated experiment lies in its band, from the words of its table; None if these are no numbers."""
    seen, expected = (re.match(_NUMBER, str(row[name])) for name in ("seen", "expected"))
    if not seen or not expected or "must fail" in row["what"]:
        return None
    at, truth = float(seen[1]), float(expected[1])
    if half := re.match(f"±{_NUMBER}", row["band"]):
        return (at - truth) / float(half[1])
    if ends := re.match(f"{_NUMBER} to {_NUMBER}", row["band"]):
        low, high = float(ends[1]), float(ends[2])
        return (at - truth) / (high - truth if at > truth else truth - low)
    return None
