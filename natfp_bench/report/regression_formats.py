"""A comparison with a reference, for people, programs and CI: table, Markdown, JSON, JUnit XML, GitHub commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.etree import ElementTree as Xml

from natfp_bench.base.markdown import escape
from natfp_bench.base.text import json_text, printable
from natfp_bench.results.regression import Change, RegressionFinding, RegressionReport

from .markdown import section
from .table import ReportTable, interval, number

TESTS = {"mcnemar": "McNemar", "sign flips": "sign flips"}

CAPTION = (
    "Accuracy on the same texts, before and now. p: exact one-sided p-value in the direction of the change (McNemar's "
    "test, or sign flips of prompts), adjusted by Holm over all comparisons. bits: mean change per text, with its 95% "
    "interval by a paired bootstrap over prompts. code: whether the attributor's own code has changed."
)


def table_of(report: RegressionReport) -> ReportTable:
    """Make the table of everything that changed."""
    columns = ("what", "attributor", "task", "preset", "target", "split", "accuracy", "change", "p", "bits, 95%")
    rows = [_row(finding) for finding in report.findings if finding.verdict != "same"]
    loose, wide = ("attributor", "task", "split", "accuracy"), ("preset", "bits, 95%", "code")
    return ReportTable("changes against the reference", (*columns, "code"), rows, ("change", "p"), loose, wide, CAPTION)


def _row(finding: RegressionFinding) -> list[str]:
    place, change = finding.place, finding.change
    cells = [finding.verdict, place.attributor or "(all)", place.task, place.preset, place.target, place.split]
    if change is None:
        return [*cells, finding.error or "", "", "", "", ""]
    accuracy = f"{number(change.before)} → {number(change.now)}"
    return [*cells, accuracy, _signed(change.gain), _p(change), interval(change.bits), change.code]


def summary(report: RegressionReport) -> str:
    """Say in one line whether all is well, with the number of findings of each verdict."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items())
    compared = sum(finding.change is not None for finding in report.findings)
    word = "ok" if report.ok else "FAILED"
    return f"{word}: {compared} comparisons with {report.reference} ({counts or 'nothing to compare'})"


def sentence(finding: RegressionFinding) -> str:
    """Say in a sentence what happened to a score."""
    change = finding.change
    match finding.verdict:
        case "failed":
            return f"{finding.place} failed: {finding.error}"
        case "missing":
            return f"{finding.place}: in the reference, not in the results"
        case "new":
            return f"{finding.place}: in the results, not in the reference"
    if change is None or (not change.differing and change.bits.value == 0):
        return f"{finding.place}: the same answers"
    return (
        f"{finding.place}: accuracy {number(change.before)} → {number(change.now)} ({_signed(change.gain)}), "
        f"p = {_p(change)} ({TESTS[change.test]}, Holm), {change.differing:,} of {change.n:,} texts judged differently"
        f"; bits per text {_signed(change.bits.value)}{_ends(change)}; {change.code} code"
    )


def to_markdown(report: RegressionReport) -> str:
    """Write GitHub Markdown: the summary, and the table of everything that changed."""
    found = table_of(report)
    parts = [f"**{escape(summary(report))}**", *([section(found)] if found.rows else [])]
    return "\n\n".join(parts) + "\n"


def to_json(report: RegressionReport) -> str:
    """Write JSON: whether all is well, counts, and every finding, including those without a change."""
    found = {"ok": report.ok, "counts": report.counts, **report.model_dump(mode="json")}
    return json_text(found)


def to_junit(report: RegressionReport) -> str:
    """Write JUnit XML: one test case per score; new scores, and missing ones if that is allowed, count as skipped."""
    kinds = {"regression": "failure", "failed": "error", "missing": "error" if not report.allow_missing else "skipped"}
    kind_of = {**kinds, "new": "skipped"}
    kinds_found = [kind_of.get(finding.verdict) for finding in report.findings]
    counts = {f"{kind}s": kinds_found.count(kind) for kind in ("failure", "error")}
    totals = {"tests": len(kinds_found), **counts, "skipped": kinds_found.count("skipped")}
    attributes = {"name": "natfp-bench regress", **{name: str(count) for name, count in totals.items()}}
    suites = Xml.Element("testsuites", attributes)
    suite = Xml.SubElement(suites, "testsuite", attributes)
    for finding, kind in zip(report.findings, kinds_found, strict=True):
        place, text = finding.place, printable(sentence(finding))
        group = ".".join(filter(None, (place.task, place.preset, place.target, place.split)))
        case = Xml.SubElement(suite, "testcase", classname=printable(group), name=printable(place.attributor or "task"))
        if kind is None:
            Xml.SubElement(case, "system-out").text = text
        else:
            Xml.SubElement(case, kind, type=finding.verdict, message=text).text = text
    Xml.indent(suites, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{Xml.tostring(suites, encoding="unicode")}\n'


def to_github(report: RegressionReport) -> str:
    """Write workflow commands, which GitHub shows beside the run: errors first, then warnings, then notices."""
    lines = []
    for finding in report.findings:
        if finding.verdict == "same":
            continue
        quiet = finding.verdict in ("improvement", "new")
        level = "error" if report.fails(finding) else "notice" if quiet else "warning"
        title = _property(f"{finding.verdict}: {finding.place.attributor or finding.place.task}")
        lines.append(f"::{level} title={title}::{_data(sentence(finding))}")
    return "\n".join([*lines, printable(summary(report))]) + "\n"


def _data(text: str) -> str:
    """Escape the message of a workflow command."""
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


FORMATS: Mapping[str, Callable[[RegressionReport], str]] = {
    "md": to_markdown,
    "json": to_json,
    "junit": to_junit,
    "github": to_github,
}
"""All formats except the table, which the terminal shows."""


def _signed(value: float) -> str:
    text = number(value)
    return text if value < 0 or float(text) == 0 else f"+{text}"


def _p(change: Change) -> str:
    p = change.p_worse if change.gain < 0 else change.p_better
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _ends(change: Change) -> str:
    low, high = change.bits.low, change.bits.high
    return "" if low is None or high is None else f" ({_signed(low)} to {_signed(high)})"
