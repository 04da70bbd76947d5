"""The page of one attributor: card, scores, cost, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natfp_bench.attributors import registry
from natfp_bench.report import figures as report_figures
from natfp_bench.report import page_tables as report_tables
from natfp_bench.report import page_texts as report_texts
from natfp_bench.report import study_figures as report_study_figures
from natfp_bench.report.page_tables import Grid
from natfp_bench.report.sheets import interval, setting_title, value
from natfp_bench.results.leaderboard import SECTIONS

from .page import Facts, Page, Pages, all_provenance, attributor_path, boards_of, task_path


def attributor(of: Pages, name: str) -> Page:
    """The page of one attributor: card, scores, cost, calibration."""
    columns = [report_tables.Column("task"), report_tables.Column("identifiability, 95%")]
    right = ("rank", "accuracy", "identifiability", "bits", "fit, s", "predict, s", "memory, MB")
    columns += [report_tables.Column(title, right=True) for title in right]
    groups: dict[tuple[str, str], list[report_tables.TableRow]] = {}
    per_task: list[dict[str, Any]] = []
    guesses: dict[str, list[Any]] = {}
    known: dict[str, str] = {}
    several = len(of.found.standings) > 1
    for protocol in sorted(of.protocols, key=lambda protocol: SECTIONS.index(of.row(protocol).section)):
        if name not in protocol.main:
            continue
        section = of.row(protocol).section
        score, result = protocol.main[name], protocol.newest
        title = setting_title(protocol.setting)
        known[score.attributor.version] = score.attributor.digest or ""
        rank = next(
            row.rank
            for board in boards_of(of, protocol)
            if (board.target, board.split) == (score.target, score.split)
            for row in board.rows
            if row.attributor == name
        )
        found = score.metrics.get("identifiability")
        spent = protocol.seconds.get(f"level/{name}", {})
        memory = next(
            (m for _, one in reversed(protocol.results) if (m := one.run.memory_mb.get(f"level/{name}"))), None
        )
        numbers: list[tuple[str, float | None]] = [
            ("" if rank is None else str(rank), rank),
            (interval(score.metrics.get("accuracy")), _of(score.metrics.get("accuracy"))),
            (value(found), _of(found)),
            (value(score.metrics.get("bits")), _of(score.metrics.get("bits"))),
            *((f"{spent[part]:,.1f}" if part in spent else "", spent.get(part)) for part in ("fit", "predict")),
            (f"{memory:,}" if memory else "", memory),
        ]
        told = result.task.name if not score.error else f"{result.task.name} (failed: {score.error})"
        cells = [
            report_tables.Cell(told, task_path(result)),
            report_tables.Cell(sort=_of(found), bar=report_tables.bar(found)),
        ]
        cells += [report_tables.Cell(text, sort=sort) for text, sort in numbers]
        groups.setdefault((section, title), []).append(report_tables.TableRow(cells))
        if found is None:
            continue
        place = {"task": result.task.name, "section": section, "part": title}
        per_task.append({**place, **report_study_figures.estimate(found)})
        if result.task.control is None:
            guesses.setdefault(title, []).append(report_texts.guesses(of.answers(protocol), score))
    made = [
        report_tables.Group(rows, f"{section.capitalize()}: {title}" if several else section.capitalize())
        for (section, title), rows in groups.items()
    ]
    caption = (
        "Levels, on unseen runs where a task holds some out, else on seen ones, which do not compare. Rank among the "
        "attributors of that task; seconds and memory are those of telling levels, as measured where they ran."
    )
    calibrated = [{"part": title, **one} for title, own in guesses.items() for one in report_texts.calibration(own)]
    figures = [report_figures.over_tasks(per_task, name), report_figures.calibration(calibrated, name)]
    drawn = [figure for figure in figures if figure]
    shown = {
        "name": name,
        "card": card(name, known),
        "scores": Grid("Scores on every task", columns, made, caption),
        "figures": drawn,
    }
    return Page(attributor_path(name), name, "attributor.html", shown, drawn, all_provenance(of))


def _of(found: Any) -> float | None:
    return None if found is None else float(found.value)


def card(name: str, known: Mapping[str, str]) -> Facts:
    """What the card of an attributor says, and which versions the scores are of, by digest."""
    versions = ", ".join(f"{version} ({made[:12] or 'no digest'})" for version, made in known.items())
    scored = ("scores are of version", versions)
    found = next((one for one in registry.bundled() if one.name == name), None)
    if found is None:
        return [("card", "not one of the bundled baselines: its card is with its folder"), scored]
    of = found.card
    facts = [
        ("summary", of.summary),
        ("authors", ", ".join(of.authors)),
        ("version", of.version),
        ("paper", of.paper or ""),
        ("licence", of.licence),
        ("tags", ", ".join(of.tags)),
        ("cost", of.cost + (", a floor: it looks at no text" if of.floor else "")),
        ("requires", ", ".join(of.requires)),
        ("limits of a fit", f"{of.limits.seconds:,.0f} s, {of.limits.memory_mb:,} MB"),
        scored,
    ]
    if found.digest not in known.values():
        facts.append(("note", "the scores are of other files than the ones that this card came with"))
    return [(what, said) for what, said in facts if said]
