"""The page that shows two results side by side."""

from __future__ import annotations

from typing import Any

from natfp_bench.report.finding import finding, scope
from natfp_bench.report.leaderboard_tables import setting_title
from natfp_bench.report.result_tables import SPLITS
from natfp_bench.report.study_figures import estimate
from natfp_bench.results.protocols import Protocol

from .page import Page, Pages, question, task_path


def compare(of: Pages) -> Page:
    """Make the page; its script takes the two results from the address, `compare.html#a,b`."""
    return Page("compare.html", "Compare two results", "compare.html", {"sides": [_side(one) for one in of.protocols]})


def compare_id(path: str) -> str:
    """Name of a result in the address, from the path of its page."""
    return path.removeprefix("tasks/").removesuffix(".html")


def _side(protocol: Protocol) -> dict[str, Any]:
    result = protocol.newest
    rows = [
        {
            "attributor": name,
            "split": SPLITS[split],
            "chance": score.chance,
            **estimate(score.metrics["identifiability"]),
            "accuracy": score.metrics["accuracy"].value,
        }
        for split in SPLITS
        for name, score in protocol.level(split).items()
        if {"identifiability", "accuracy"} <= score.metrics.keys()
    ]
    return {
        "id": compare_id(task_path(result)),
        "name": f"{result.task.name} ({setting_title(protocol.setting)})",
        "question": question(result),
        "path": task_path(result),
        "finding": finding(result),
        "scope": scope(result),
        "rows": rows,
    }
