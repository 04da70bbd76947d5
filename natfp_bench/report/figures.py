"""Figures of scores: attributors on one task, the identifiability of all factors, one attributor on all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natfp_bench.pipeline.result import Score
from natfp_bench.results.leaderboard import FactorRow
from natfp_bench.results.protocols import Protocol

from . import charts
from .charts import Figure, Rows
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
                rows.append({"attributor": name, "split": SPLITS[split], **estimate(score.metrics["accuracy"])})
    if not rows:
        return None
    main = [row for row in rows if row["split"] == rows[0]["split"]]
    main.sort(key=lambda row: -row["value"])
    order = list(dict.fromkeys([row["attributor"] for row in [*main, *rows]]))
    rows.sort(key=lambda row: order.index(row["attributor"]))
    names = [SPLITS[split] for split, _ in views]
    caption = (
        "Share of test texts whose level is identified, with its 95% interval if there are enough units. On unseen "
        "replicates, an attributor has seen none of the models that wrote the test texts; on seen ones, it may "
        "recognise individual models."
        if len(views) > 1
        else "Share of test texts whose level is identified, with its 95% interval."
    )
    chart = charts.dots(rows, y="attributor", order=order, series="split", names=names, x_title="accuracy", lines=lines)
    columns = {"attributor": "attributor", "split": "test texts", **ESTIMATE}
    return charts.figure("accuracy", "Accuracy of every attributor", caption, columns, rows, chart)


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
        pick="attributor",
        picked=names,
    )
    columns = {"attributor": "attributor", "truth": "truth", "guess": "guess", "value": "share"}
    caption = f"Share of each level's texts ({SPLITS[views[0][0]]}) by guessed level. The menu chooses the attributor."
    return charts.figure("confusion", "Which level is taken for which", caption, columns, rows, chart)


def factors(rows: Sequence[FactorRow], name: str, title: str) -> Figure | None:
    """Identifiability of the factors of one setting: the reference and the best attributor, and the ceiling."""
    series = ("reference attributor", "best attributor", "ceiling (seen replicates)")
    found: list[dict[str, Any]] = []
    for row in rows:
        main = row.unseen or row.seen
        if main is None or not row.current:
            continue
        ceiling = row.seen.ceiling if row.seen else None
        for label, of in zip(series, (main.reference, main.best, ceiling), strict=True):
            if of is not None:
                found.append({"task": row.task, "part": row.section, "series": label, **estimate(of)})
    if not found:
        return None
    order = in_sections(found, "part")
    shown = [label for label in series if any(row["series"] == label for row in found)]
    chart = charts.dots(
        found, y="task", order=order, series="series", names=shown, x_title="identifiability", lines={"chance": 0.0}
    )
    caption = (
        "0 is chance, 1 is certainty. Scores are on unseen replicates if a task holds out replicates, else on unseen "
        "prompts of seen ones."
    )
    columns = {"task": "task", "part": "section", "series": "attributor", **ESTIMATE}
    return charts.figure(name, title, caption, columns, found, chart)


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
    return charts.figure("tasks", f"{name} on every task", caption, columns, rows, chart)


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
    return charts.figure("calibration", f"Calibration of {name}", caption, columns, rows, chart)


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
    return charts.figure(
        "controls", "Controls: tasks whose true identifiability is known", caption, columns, shown, chart
    )
