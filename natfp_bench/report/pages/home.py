"""The first page of a report: both leaderboards of each setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from natfp_bench.report import figures as report_figures
from natfp_bench.report import page_tables as report_tables
from natfp_bench.report.charts import Figure
from natfp_bench.report.page_tables import Grid
from natfp_bench.report.sheets import setting_title
from natfp_bench.results.leaderboard import Standing
from natfp_bench.results.protocols import Setting

from .page import Page, Pages, all_provenance, attributor_path, task_path


@dataclass(frozen=True)
class Section:
    """Both leaderboards of one setting; apart: why it is a table of its own."""

    title: str
    apart: str
    setting: Setting
    factors: Grid
    attributors: Grid
    figure: Figure | None


def home(of: Pages) -> Page:
    """The first page: both leaderboards of each setting."""
    tags = {protocol.newest.protocol_digest: protocol.newest.task.tags for protocol in of.protocols}
    paths = {protocol.newest.protocol_digest: task_path(protocol.newest) for protocol in of.protocols}
    standings = sorted(of.found.standings, key=_place)
    first = standings[0].setting
    sections = []
    for place, standing in enumerate(standings):
        title = setting_title(standing.setting)
        factors = report_tables.factor_grid(standing, dict(tags), lambda protocol: paths.get(protocol, ""))
        attributors = report_tables.attributor_grid(standing, attributor_path)
        if place:  # how to read them is said once
            factors, attributors = replace(factors, caption=""), replace(attributors, caption="")
        name = "factors" if len(of.found.standings) == 1 else f"factors-{place + 1}"
        sections.append(
            Section(
                title,
                apart(first, standing.setting),
                standing.setting,
                factors,
                attributors,
                report_figures.factors(standing.factors, name, f"Identifiability of each factor ({title})"),
            )
        )
    shown = {
        "sections": sections,
        "presets": sorted({one.setting.preset for one in of.found.standings}),
        "corpora": sorted({one.setting.corpus for one in of.found.standings}),
        "tags": sorted({tag for own in tags.values() for tag in own}),
        "results": sum(len(protocol.results) for protocol in of.protocols),
        "faults": of.found.faults,
    }
    figures = [section.figure for section in sections if section.figure]
    return Page("index.html", "Natural fingerprints", "home.html", shown, figures, all_provenance(of))


def _place(standing: Standing) -> tuple[bool, bool, bool, int]:
    """What most people look for comes first: whole results, of trained models, as the presets have them, and many."""
    of = standing.setting
    return of.subset is not None, of.fixed_texts, bool(of.overrides), -len(standing.factors)


def apart(first: Setting, other: Setting) -> str:
    """Say why figures of two settings must not stand in one table; nothing for one and the same."""
    differ = [name for name in Setting.model_fields if getattr(first, name) != getattr(other, name)]
    if not differ:
        return ""
    said = ", ".join(f"{name.replace('_', ' ')} ({_said(getattr(other, name))})" for name in differ)
    return (
        f"A table of its own, for figures of other settings do not compare with the first table's. Here differ: {said}."
    )


def _said(value_: Any) -> str:
    if isinstance(value_, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value_.items()) or "none"
    return "none" if value_ is None else str(value_)
