"""The first page of a report: what was found, the main figure, and the leaderboards of each setting."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from natfp_bench.base.records import digest
from natfp_bench.report.drawing import Figure
from natfp_bench.report.finding import finding, scope
from natfp_bench.report.leaderboard_tables import setting_title, standing_tables
from natfp_bench.report.main_figure import main_figure
from natfp_bench.report.table import ReportTable, number
from natfp_bench.results.leaderboard import FactorRow, Standing
from natfp_bench.results.protocols import Setting
from natfp_bench.results.trends import without_points
from natfp_bench.statistics.replication import SIGNIFICANT

from .page import Page, Pages, all_provenance, question


@dataclass(frozen=True)
class SettingSection:
    """What is known in one setting; apart: why its tables stand apart.

    findings: question, sentence and protocol digest of each task. folded: shown only if a reader asks for it.
    """

    title: str
    apart: str
    setting: Setting
    tables: Sequence[ReportTable]
    figure: Figure | None
    findings: Sequence[tuple[str, str, str]]
    folded: bool


def home(of: Pages) -> Page:
    """Make the first page."""
    # A folder of nothing but a sweep still has a first table.
    standings = sorted(without_points(of.found, of.trends).standings or of.found.standings, key=_place)
    first = standings[0].setting
    sections = []
    for place, standing in enumerate(standings):
        title = setting_title(standing.setting)
        tables = standing_tables(standing)
        if place:  # only the first tables have captions: they are the same for all
            tables = [replace(table, caption="", bar_caption="") for table in tables]
        name = "factors" if len(standings) == 1 else f"factors-{place + 1}"
        drawn = main_figure(standing.factors, of.by_digest, name, "How identifiable is each training factor?")
        results = [of.by_digest[row.protocol_digest].newest for row in standing.factors if row.current]
        said = [(question(result), finding(result), result.protocol_digest) for result in results]
        folded = standing.setting.preset == "smoke" and first.preset != "smoke"
        because = apart(first, standing.setting)
        sections.append(SettingSection(title, because, standing.setting, tables, drawn, said, folded))
    shown = {
        "headline": headline(standings[0], of),
        "scope": scopes(standings[0], of),
        "how_sure": how_sure(standings[0]),
        "winner": winner(standings[0]),
        "reference": " and ".join(sorted({row.reference for row in standings[0].factors if row.reference})),
        "held_out": any(row.unseen for row in standings[0].factors),
        "sections": sections,
        "presets": sorted({one.setting.preset for one in of.found.standings}),
        "corpora": sorted({one.setting.corpus for one in of.found.standings}),
        "tags": sorted({tag for protocol in of.protocols for tag in protocol.newest.task.tags}),
        "results": sum(len(protocol.results) for protocol in of.protocols),
        "faults": of.found.faults,
        "digest": digest(sorted(of.by_digest)),
    }
    figures = [section.figure for section in sections if section.figure]
    downloads = {SCORES: all_scores(of), LEADERBOARDS: f"{of.found.model_dump_json(indent=1)}\n"}
    shown["downloads"] = [*downloads]
    return Page("index.html", "Natural fingerprints", "home.html", shown, figures, all_provenance(of), downloads)


SCORES, LEADERBOARDS = "data/scores.csv", "data/leaderboards.json"
"""All scores of all results, one per row; and the leaderboards with all that they know."""


def all_scores(of: Pages) -> str:
    """Every metric of every score as CSV."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    about = ("task", "factor", "preset", "corpus", "protocol_digest", "run", "attributor", "access", "target", "split")
    rows.writerow([*about, "chance", "n_test", "metric", "value", "low", "high", "units", "n_units"])
    for protocol in of.protocols:
        for _, one in protocol.results:
            made = (one.task.name, one.factor.name, one.preset, one.corpus.name, one.protocol_digest, one.run.id)
            for score in one.scores:
                who = (score.attributor.name, score.attributor.access, score.target, score.split)
                for name, at in score.metrics.items():
                    found = (name, at.value, at.low, at.high, at.units, at.n_units)
                    rows.writerow(["" if v is None else v for v in (*made, *who, score.chance, score.n_test, *found)])
    return out.getvalue()


def headline(standing: Standing, of: Pages) -> str:
    """Say in one sentence what all results of a setting found; of a single one, what it found."""
    rows = [row for row in standing.factors if row.current and not row.control]
    if len(rows) < 2:
        return finding(of.by_digest[(rows or standing.factors)[0].protocol_digest].newest)
    held_out = [row for row in rows if row.unseen and row.unseen.reference]
    found = [row for row in held_out if row.verdict == "found"]
    alone = [row for row in rows if row.unseen is None and row.seen and row.seen.reference]
    said = []
    if held_out:
        tested = [row for row in held_out if row.verdict != "not testable"]
        where = "show in what a language model writes, even in models that no classifier has seen"
        said.append(f"{len(found)} of the {len(tested)} training factors tested {where}")
    if alone:
        best = max(alone, key=lambda row: _reference(row) or 0.0)
        above = [row for row in alone if _low(row) > 0]
        said.append(
            f"models that differ only in {best.factor} are recognised by their texts, too"
            if len(above) == len(alone) and (_low(best) > 0)
            else f"{len(above)} of {len(alone)} factors without held-out runs are above chance"
        )
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


VERDICTS = {"not found": "not found", "not testable": "too few runs to test"}
"""Verdicts that the first page names factors for, beside those found, in words."""


def how_sure(standing: Standing) -> str:
    """Say how large the largest and the smallest effect are, what was not found or not tested, and how it is tested."""
    rows = [row for row in standing.factors if row.current and not row.control and row.unseen and row.unseen.reference]
    by_verdict = {verdict: [row.factor for row in rows if row.verdict == verdict] for verdict in VERDICTS}
    sizes: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: -(_reference(row) or 0.0)):
        if row.verdict == "found":
            sizes.setdefault(number(_reference(row) or 0.0, 2), []).append(row.factor)
    said = []
    if sizes:
        each_size = list(sizes.items())
        first, last = each_size[0], each_size[-1]
        each = " each" if len(first[1]) > 1 else ""
        said.append(f"Clearest: {' and '.join(first[1])} ({first[0]}{each}, where 0 is chance and 1 is certainty)")
        said += [f"faintest: {' and '.join(last[1])} ({last[0]})"] if len(sizes) > 1 else []
    said += [f"{VERDICTS[verdict]}: {', '.join(names)}" for verdict, names in by_verdict.items() if names]
    tested = sum(row.p_adjusted is not None for row in rows)
    test = (
        f" Found: p of a permutation test, corrected for {tested} factors, is at most {SIGNIFICANT}." if tested else ""
    )
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}.{test}" if text else ""


def _reference(row: FactorRow) -> float | None:
    main = row.unseen or row.seen
    return main.reference.value if main and main.reference else None


def _low(row: FactorRow) -> float:
    found = row.seen.reference if row.seen else None
    return -1.0 if found is None or found.low is None else found.low


def winner(standing: Standing) -> str:
    """Who identifies levels best, over all tasks of a setting; empty if there are no ranks."""
    # Rows come rung by rung; a classifier that knows more than another is no better method.
    rows = [row for row in standing.attributors if row.knowledge == standing.attributors[0].knowledge]
    means = [(row.attributor, row.unseen or row.seen) for row in rows if not row.floor]
    first = [name for name, mean in means if mean and mean.rank == 1]
    if not first or len(rows) < 2:
        return ""
    return f"Best of {len(rows)} classifiers: {' and '.join(first)}."


def scopes(standing: Standing, of: Pages) -> str:
    """The scope that most results of a setting share, and how many they are."""
    said = Counter(scope(of.by_digest[row.protocol_digest].newest) for row in standing.factors if row.current)
    [(most, count)] = said.most_common(1)
    total = sum(said.values())
    return (
        most
        if count == total
        else f"{most}. So are {count} of {total} tasks; the others have another size, length or number of models"
    )


def _place(standing: Standing) -> tuple[bool, bool, bool, bool, int, float, int]:
    """Key to sort by: whole results of trained models, smoke last, those with most evidence first."""
    of = standing.setting
    found = [row.strength or 0.0 for row in standing.factors if row.verdict == "found"]
    kind = (of.subset is not None, of.fixed_texts, of.preset == "smoke", bool(of.overrides))
    return *kind, -len(found), -max(found, default=0.0), -len(standing.factors)


def apart(first: Setting, other: Setting) -> str:
    """Say in what two settings differ, so that their figures cannot be in one table; empty if they are the same."""
    differ = [name for name in Setting.model_fields if getattr(first, name) != getattr(other, name)]
    if not differ:
        return ""
    said = ", ".join(f"{name.replace('_', ' ')} ({_said(getattr(other, name))})" for name in differ)
    return f"These tables cannot be compared with the first ones because their settings differ: {said}."


def _said(value_: Any) -> str:
    if isinstance(value_, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value_.items()) or "none"
    return "none" if value_ is None else str(value_)
