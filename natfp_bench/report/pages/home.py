"""The first page of a report: the leaderboards of each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from natfp_bench.report import figures as report_figures
from natfp_bench.report.charts import Figure
from natfp_bench.report.leaderboard_tables import setting_title, standing_tables
from natfp_bench.report.table import ReportTable
from natfp_bench.results.leaderboard import Standing
from natfp_bench.results.protocols import Setting

from .page import Page, Pages, all_provenance


@dataclass(frozen=True)
class SettingSection:
    """The leaderboards of one setting; apart: why they are tables of their own."""

    title: str
    apart: str
    setting: Setting
    tables: Sequence[ReportTable]
    figure: Figure | None


def home(of: Pages) -> Page:
    """Make the first page: the leaderboards of each setting."""
    standings = sorted(of.found.standings, key=_place)
    first = standings[0].setting
    sections = []
    for place, standing in enumerate(standings):
        title = setting_title(standing.setting)
        tables = standing_tables(standing)
        if place:  # only the first tables have captions: they are the same for all
            tables = [replace(table, caption="", bar_caption="") for table in tables]
        name = "factors" if len(of.found.standings) == 1 else f"factors-{place + 1}"
        sections.append(
            SettingSection(
                title,
                apart(first, standing.setting),
                standing.setting,
                tables,
                report_figures.factors(standing.factors, name, f"Identifiability of each factor ({title})"),
            )
        )
    shown = {
        "sections": sections,
        "presets": sorted({one.setting.preset for one in of.found.standings}),
        "corpora": sorted({one.setting.corpus for one in of.found.standings}),
        "tags": sorted({tag for protocol in of.protocols for tag in protocol.newest.task.tags}),
        "results": sum(len(protocol.results) for protocol in of.protocols),
        "faults": of.found.faults,
    }
    figures = [section.figure for section in sections if section.figure]
    return Page("index.html", "Natural fingerprints", "home.html", shown, figures, all_provenance(of))


def _place(standing: Standing) -> tuple[bool, bool, bool, int]:
    """Key to sort by: whole results first, then trained models, presets without overrides, and many tasks."""
    of = standing.setting
    return of.subset is not None, of.fixed_texts, bool(of.overrides), -len(standing.factors)


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
